"""What can go wrong with the hub, as one line each: where, what, and what to do about it."""

from stencilnet.text.escaping import one_line
from stencilnet.text.shortening import shorten

_LOG_IN = "Log in with: hf auth login"


class HubError(OSError):
    """The hub cannot be reached, or refuses a request. Nothing on this machine has been changed."""


class MissingRepositoryError(HubError):
    """There is no such repository, or this machine may not see it; the hub does not tell which."""


def explained(name: str, error: Exception) -> HubError | None:
    """Return a failure of the hub as one line; None if the error is not the hub's, but this machine's or a bug.

    Args:
        name: The repository, ``OWNER/NAME``.
        error: What huggingface_hub raised.
    """
    from huggingface_hub import errors

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # an upload that failed in a thread
        return explained(name, error.__cause__)
    if isinstance(error, errors.GatedRepoError):
        what, remedy = "its owner restricts access (gated)", f"Ask for access on its page. {_LOG_IN}"
    elif isinstance(error, errors.RevisionNotFoundError):
        what, remedy = "no such revision", "Check its name: a branch, a tag or a commit."
    elif isinstance(error, errors.RepositoryNotFoundError):
        what = "no such model repository, or this machine may not see it"
        return MissingRepositoryError(_line(name, what, f"Check the name. If it is private: {_LOG_IN}"))
    elif isinstance(error, errors.HfHubHTTPError):
        what, remedy = _answer(error.response.status_code, error.server_message or "")
    elif isinstance(error, errors.OfflineModeIsEnabled):
        what, remedy = "huggingface_hub is offline by HF_HUB_OFFLINE", "Unset that variable."
    elif isinstance(error, errors.HTTPError):  # type: ignore[attr-defined]  # of the HTTP library, whichever it is
        what, remedy = _unreachable(error)
    elif isinstance(error, errors.LocalEntryNotFoundError):  # a connection that broke between two requests
        what, remedy = _unreachable(error.__cause__ or error)
    elif isinstance(error, errors.HFValidationError):
        what, remedy = str(error), "Choose another name."
    elif isinstance(error, ValueError) and "metadata in README.md" in str(error):
        what, remedy = f"the hub refuses the card ({error})", "Check --license and --base-model."
    elif isinstance(error, ValueError | KeyError) or (isinstance(error, OSError) and error.errno is None):
        what, remedy = (
            f"the hub's answer is not as expected ({type(error).__name__}: {error})",
            "Try again. Check HF_ENDPOINT if it is set.",
        )
    else:
        return None
    return HubError(_line(name, what, remedy))


def _answer(status: int, message: str) -> tuple[str, str]:
    """Return what an HTTP status means, and the remedy."""
    from huggingface_hub import get_token

    if status == 401 and get_token() is None:
        return "this needs a token, and this machine has none", _LOG_IN
    if status == 401:
        return "the hub does not accept this machine's token", _LOG_IN
    if status == 403:
        return f"this machine's token does not permit this ({message or 403})", f"Use one that does. {_LOG_IN}"
    if status in (409, 412):
        return "the repository has changed meanwhile", "Try again."
    return f"the hub answers {status} ({message or 'without a reason'})", "Try again later."


def _unreachable(error: BaseException) -> tuple[str, str]:
    from huggingface_hub import constants

    what = f"cannot reach the hub at {constants.ENDPOINT} ({type(error).__name__}: {error})"
    return what, "Check the connection and HF_ENDPOINT. Run the same command again to go on."


def _line(name: str, what: str, remedy: str) -> str:
    return f"hf:{name}: {one_line(shorten(' '.join(what.split())))}. {remedy}"
