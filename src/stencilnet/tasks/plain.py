"""What task kinds without an adversary have alike."""

from typing import Any, ClassVar, NoReturn

from torch import Tensor, nn

from stencilnet.tasks.checks import examples_in
from stencilnet.tasks.task import Recipe, Sample


class Plain:
    """Members of a `Task` that has no critic, a loss that is a mean over examples, no settings, and the usual recipe.

    Attributes:
        kind: The kind's name.
    """

    kind: ClassVar[str]

    @classmethod
    def recipe(cls) -> Recipe:
        """Adam 1e-4, batch 8, cosine; the paper does not say."""
        return Recipe()

    def settings(self) -> dict[str, Any]:
        """There are none."""
        return {}

    def weight(self, sample: Sample) -> Tensor:
        """Return the number of examples."""
        return examples_in(sample)

    def critic(self) -> None:
        """There is none."""

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> NoReturn:  # noqa: ARG002
        """Refuse to train a critic that the task does not have.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"Expected no critic: the task kind `{self.kind}` is not adversarial, and its `critic()` is None."
        )
