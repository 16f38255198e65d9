"""Config records: what changes a running job, who changed it, and why. One JSON object each; together the audit log.

    {"key": "mode/copied_text", "value": {"mode": "live 10%"}, "by": "anna", "reason": "100 shadow hits read"}

The first record of a timeline is its header, `{"timeline": "ID"}`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from schemas.document import Document
from schemas.problem import BadValueError, did_you_mean, kind_of, show
from schemas.record_bytes import Instant, object_of, validated
from schemas.words import Mode, check_name

Kind = Literal["timeline", "policy", "mode", "ceiling", "model", "threshold"]

_KEYS = "policy, mode/RULE, mode/*, model/NAME or threshold/NAME"


def _digest(text: str) -> str:
    if not text.strip():
        raise BadValueError("is empty: leave it out, or give the digest of the rule")
    return text


class ModeValue(Document):
    """Value of `mode/RULE`."""

    noun: ClassVar[str] = "a mode record's value"
    example: ClassVar[str | None] = "{mode: shadow}"

    mode: Annotated[Mode, Field(examples=["shadow"])]
    """off, shadow, live, or live N%."""
    digest: Annotated[str, AfterValidator(_digest)] | None = None
    """The version of the rule that this is for; without it the one in force when the record comes into force."""


class CeilingValue(Document):
    """Value of `mode/*`, the panic switch."""

    noun: ClassVar[str] = "a ceiling's value"
    example: ClassVar[str | None] = "{ceiling: shadow}"

    ceiling: Annotated[Literal["shadow", "clear"], Field(examples=["shadow"])]
    """shadow: no rule acts, whatever its mode. clear: modes count again."""


class ModelValue(Document):
    """Value of `model/NAME`."""

    noun: ClassVar[str] = "a model record's value"
    example: ClassVar[str | None] = "{version: 1}"

    version: Annotated[int, Field(strict=True, ge=1, examples=[1])]
    """Version in the registry."""
    mode: Literal["live", "shadow"] = "shadow"
    """live: rules read this version from now on, and an older challenger ends. shadow: it is the challenger, which is
    scored beside the version in force and acts on nobody; of the version in force itself: no challenger any more."""


class ThresholdValue(Document):
    """Value of `threshold/NAME`, where NAME is a model. It holds for the version that is in force then."""

    noun: ClassVar[str] = "a threshold record's value"
    example: ClassVar[str | None] = "{value: 0.97}"

    value: Annotated[float, Field(strict=True, allow_inf_nan=False, examples=[0.97])]
    """The number that `threshold(NAME, ...)` stands for, in place of the one of the model's calibration set."""
    point: Annotated[str, Field(min_length=1, max_length=64, examples=["precision=0.95"])] | None = None
    """Which of the policy's operating points of this model, such as `precision=0.95`; needed where it has several."""


class ConfigRecord(Document):
    """One change, as it is written. `value` holds what its kind of key asks for, checked and with its defaults."""

    noun: ClassVar[str] = "a config record"

    key: str
    """policy, mode/RULE, mode/*, model/NAME or threshold/NAME; `timeline` for the header."""
    value: Any
    """What the key is set to."""
    effective_at: Instant | None = None
    """In force from this time on, or from when the record was read if that is later."""
    by: str = ""
    """Who changed it."""
    reason: str = ""
    """Why."""
    at: Instant | None = None
    """When the record was written, by the clock of who wrote it. Nothing goes by it."""

    @property
    def kind(self) -> Kind:
        """What sort of key it is."""
        return kind_of_key(self.key)

    @property
    def effective_ms(self) -> int | None:
        """`effective_at` in milliseconds since 1970."""
        return self.effective_at


class PolicyRecord(ConfigRecord):
    """The whole policy, from now on. Its value is checked where it is compiled."""

    key: Literal["policy"]
    """`policy`."""
    value: dict[str, Any]
    """The policy document, as in policy.json."""


class ModeRecord(ConfigRecord):
    """The mode of a rule."""

    key: Annotated[str, Field(json_schema_extra={"pattern": "^mode/[a-z][a-z0-9_]{0,62}$"})]
    """`mode/` and the name of the rule."""
    value: ModeValue
    """What it is set to."""


class CeilingRecord(ConfigRecord):
    """The panic switch over all rules."""

    key: Literal["mode/*"]
    """`mode/*`."""
    value: CeilingValue
    """What it is set to."""


class ModelRecord(ConfigRecord):
    """The version of a model, or its challenger."""

    key: Annotated[str, Field(json_schema_extra={"pattern": "^model/[a-z][a-z0-9_]{0,62}$"})]
    """`model/` and the name of the model."""
    value: ModelValue
    """What it is set to."""


class ThresholdRecord(ConfigRecord):
    """The number that a threshold of a model stands for."""

    key: Annotated[str, Field(json_schema_extra={"pattern": "^threshold/[a-z][a-z0-9_]{0,62}$"})]
    """`threshold/` and the name of the model."""
    value: ThresholdValue
    """What it is set to."""


class TimelineHeader(Document):
    """First record of a timeline: its name. A job that follows another timeline refuses to go on."""

    noun: ClassVar[str] = "a timeline's header"

    timeline: Annotated[str, Field(min_length=1, max_length=64)]
    """The timeline's name: the first part of every epoch."""


RECORDS: dict[Kind, type[ConfigRecord]] = {
    "policy": PolicyRecord,
    "mode": ModeRecord,
    "ceiling": CeilingRecord,
    "model": ModelRecord,
    "threshold": ThresholdRecord,
}


class ConfigError(ValueError):
    """A record that is not taken: what is wrong with it and what to write instead, in one line."""


def kind_of_key(key: str) -> Kind:
    """What a key sets. Raises ConfigError with the keys that there are."""
    if key == "timeline":
        return "timeline"
    if key == "policy":
        return "policy"
    if key == "mode/*":
        return "ceiling"
    group, slash, name = key.partition("/")
    kinds: dict[str, Kind] = {"mode": "mode", "model": "model", "threshold": "threshold"}
    if group not in kinds:
        hint = did_you_mean(group, ("policy", *kinds))
        raise ConfigError(f"{show(key)} is not a key: it is {_KEYS}" + (f" ({hint})" if hint else ""))
    if not slash or not name:
        raise ConfigError(f"{show(key)} names nothing: write {group}/NAME" + (" or mode/*" if group == "mode" else ""))
    try:
        check_name(name)
    except BadValueError as error:
        raise ConfigError(f"key {show(key)}: {error}" + (f" ({error.hint})" if error.hint else "")) from None
    return kinds[group]


def parse_config(data: bytes) -> ConfigRecord:
    """A record's bytes, checked. The header of a timeline comes as key `timeline` with the name as its value.

    Raises ConfigError with everything that is wrong. Whether there is such a rule, and whether a policy compiles, is
    for the timeline to say.

    >>> parse_config(b'{"key": "mode/spam", "value": {"mode": "live 10%"}}').value
    {'mode': 'live 10%', 'digest': None}
    """
    raw = object_of(data, ConfigError)
    if "timeline" in raw and "key" not in raw:
        header = validated(TimelineHeader, raw, ConfigError)
        return ConfigRecord(key="timeline", value=header.timeline)
    key = raw.get("key")
    if not isinstance(key, str):
        found = "has no `key`" if "key" not in raw else f"has {kind_of(key)} for its `key`"
        raise ConfigError(f"the record {found}: it is {_KEYS}")
    if key == "timeline":
        raise ConfigError('a timeline is named by {"timeline": NAME}, alone in its record')
    record = validated(RECORDS[kind_of_key(key)], raw, ConfigError)
    value = record.value if isinstance(record, PolicyRecord) else record.value.model_dump(mode="json")
    return ConfigRecord.model_construct(
        key=key, value=value, effective_at=record.effective_at, by=record.by, reason=record.reason, at=record.at
    )
