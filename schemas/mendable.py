"""The errors that a person can mend: all of them are of one kind, so that whoever tells of them need not know which there are."""


class MendableError(Exception):
    """What is wrong, where, and what to do about it, as a text. A command prints that and no traceback."""

    def told(self) -> str:
        """The text as a command ends with it."""
        return f"error: {self}"
