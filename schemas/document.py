"""What every part of a document that people write has in common."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from schemas.policy_shape import Mistake


class Document(BaseModel):
    """A part of a document: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False, use_attribute_docstrings=True)
    noun: ClassVar[str] = "a document"
    """What an error text calls it."""
    example: ClassVar[str | None] = None
    """How one is written, for error texts."""


def refuse(mistakes: list[Mistake]) -> None:
    """Raises what pydantic takes for an error of the model, if there is a mistake."""
    if mistakes:
        text = "; ".join(mistake.message for mistake in mistakes)
        raise PydanticCustomError("shape", "{text}", {"text": text})


def written(document: Document) -> Mapping[str, object]:
    """The keys that a document was made of, with their values."""
    return {name: getattr(document, name) for name in document.model_fields_set}
