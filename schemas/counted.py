"""A number with its noun, for texts that a person reads."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """
    >>> counted(1, "label"), counted(2_000, "label"), counted(0, "entity", "entities")
    ('1 label', '2,000 labels', '0 entities')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
