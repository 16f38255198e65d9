"""What arrives: event types, and the typed columns that are read from their records."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from schemas.document import Document, refuse, written
from schemas.policy_shape import field_mistakes
from schemas.words import Condition, Name, Pointer, Scale

FieldType = Literal["string", "integer", "float", "decimal", "boolean", "ip", "timestamp", "list<string>"]
TimeUnit = Literal["s", "ms", "us", "ns", "iso"]

FIELD_TYPES: tuple[str, ...] = get_args(FieldType)


class Timestamp(Document):
    """Where a time stands in a record and in which unit. Short form: a pointer, for ISO 8601."""

    noun: ClassVar[str] = "a time"
    example: ClassVar[str | None] = "/time"

    path: Annotated[Pointer, Field(examples=["/ts"])]
    """JSON pointer of the time."""
    unit: TimeUnit = "iso"
    """s, ms, us, ns (since 1970, a number or numeric text), or iso (ISO 8601 text; UTC where it names no zone)."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "pattern": "^/"}, handler(core)]}


class FieldSpec(Document):
    """One typed column read from a record.

    Short forms: a type (`text: string`), or the pointer of a string (`ip: /client/ip`).
    """

    noun: ClassVar[str] = "a field"
    example: ClassVar[str | None] = "string"

    path: Pointer
    """JSON pointer of the value; `/NAME` where it is left out."""
    type: FieldType = "string"
    """What the value must be; a record with anything else becomes a dead letter. Missing and null are NULL."""
    scale: Scale = 2
    """Decimals of a decimal."""
    unit: TimeUnit = "iso"
    """Unit of a timestamp."""
    pii: Literal["hash"] | None = None
    """`hash`: used as it is inside, written out only as a keyed hash."""

    @model_validator(mode="after")
    def _whole(self) -> "FieldSpec":
        refuse(field_mistakes(written(self)))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        reference = handler(core)
        handler.resolve_ref_schema(reference).pop("required", None)
        return {"anyOf": [{"enum": list(FIELD_TYPES)}, {"type": "string", "pattern": "^/"}, reference]}


class EventSpec(Document):
    """One event type: which records it takes (`when`), its id, its times, its fields."""

    noun: ClassVar[str] = "an event type"
    example: ClassVar[str | None] = "{id: /id, time: /time, fields: {account: string}}"

    when: dict[Pointer, Condition] = Field(default={})
    """Values that a record must have, by pointer: all of them. May be left out where there is one event type."""
    id: Annotated[Pointer, Field(examples=["/id"])]
    """JSON pointer of the event's id; a record with an id that was seen before is not judged again."""
    time: Annotated[Timestamp, Field(examples=["/time"])]
    """When the event happened: what windows go by."""
    ingest: Timestamp | None = None
    """When the record arrived; without it files go by the running maximum of event time."""
    fields: dict[Name, FieldSpec] = Field(default={})
    """Columns read from a record. A name in two event types is one column and has one type."""

    @field_validator("fields", mode="before")
    @classmethod
    def _short_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: _field(name, spec) for name, spec in value.items()}


def _field(name: object, spec: object) -> object:
    if isinstance(spec, str):
        return {"path": spec} if spec.startswith("/") else {"path": f"/{name}", "type": spec}
    if isinstance(spec, dict) and "path" not in spec:
        return {"path": f"/{name}", **spec}
    return spec
