"""Gives bundles and tasks to others by a hub, and takes theirs (huggingface_hub, extra ``hub``; without PyTorch)."""

from stencilnet.sharing.problems import HubError
from stencilnet.sharing.pulling import Pulled, merge, pull
from stencilnet.sharing.pushing import Pushed, push

__all__ = ["HubError", "Pulled", "Pushed", "merge", "pull", "push"]
