"""Errors that belong to no single package."""


class NotInstalledError(ImportError):
    """Something is needed that is not installed; the message says what it is and where to get it."""
