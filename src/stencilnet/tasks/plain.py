"""Members that task kinds without a critic share."""

from typing import ClassVar, NoReturn

from torch import Tensor, nn

from stencilnet.tasks.checks import examples_in
from stencilnet.tasks.task import Recipe, Sample


class Plain:
    """Members of a `Task` without critic, whose loss is a mean over examples, with the default recipe.

    Attributes:
        kind: The kind's name.
    """

    kind: ClassVar[str]

    @classmethod
    def recipe(cls) -> Recipe:
        """Adam 1e-4, batch 8, cosine schedule; the paper does not state them."""
        return Recipe()

    def weight(self, sample: Sample) -> Tensor:
        """Return the number of examples."""
        return examples_in(sample)

    def critic(self) -> None:
        """Return None: there is no critic."""

    def critic_loss(self, critic: nn.Module, output: Tensor, sample: Sample) -> NoReturn:  # noqa: ARG002
        """Raise an error: the task has no critic to train.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"Expected no critic: the task kind `{self.kind}` is not adversarial, and its `critic()` is None."
        )
