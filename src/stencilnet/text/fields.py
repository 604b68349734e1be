"""Errors about the values of a dataclass's fields; configs report each at its field."""

Rule = tuple[str, bool, str]
"""A field, whether its value is allowed, and what was expected and got: ``("steps", steps >= 1, "to be at least 1, but
got 0")``. A rule about several fields has an empty field and names them in its text."""


class FieldError(ValueError):
    """Values that a dataclass does not allow.

    Args:
        problems: For each broken rule, its field (empty for several) and a message.
        message: The message of the whole. Default: the problems' messages.

    Attributes:
        problems: As above.
    """

    def __init__(self, *problems: tuple[str, str], message: str = "") -> None:
        super().__init__(message or " ".join(text for _, text in problems))
        self.problems = problems


def check_fields(*rules: Rule, owner: str = "") -> None:
    """Check the values of a dataclass's fields.

    Args:
        rules: The rules.
        owner: Whose fields they are, for the message, such as "EWC's".

    Raises:
        FieldError: If rules are broken; the message lists all of them.
    """
    broken = [(field, f"`{field}` {text}" if field else text) for field, allowed, text in rules if not allowed]
    if broken:
        message = " ".join(filter(None, ("Expected", owner, "; ".join(text for _, text in broken)))) + "."
        raise FieldError(*((field, f"Expected {text}.") for field, text in broken), message=message)
