"""The application: operations, errors, documentation and the page."""

from importlib.metadata import version

from fastapi import FastAPI

from stencilnet.serve.gate import App, gated
from stencilnet.serve.job_routes import job_routes
from stencilnet.serve.page import Page
from stencilnet.serve.problems import add_handlers
from stencilnet.serve.routes import routes
from stencilnet.serve.service import Service
from stencilnet.serve.teach_routes import teach_routes


def make_app(service: Service, host: str) -> App:
    """Return the application, an ASGI one.

    Args:
        service: The service.
        host: The address that the server listens on.
    """
    app = FastAPI(
        title="stencilnet",
        version=version("stencilnet"),
        summary="One network, many image tasks.",
        docs_url=None,  # they load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    add_handlers(app)
    app.include_router(routes(service))
    app.include_router(job_routes(service))
    if service.teaching is not None:
        app.include_router(teach_routes(service, service.teaching))
    app.router.default = Page()
    return gated(app, service, host)
