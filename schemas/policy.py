"""The policy document: what arrives, what is remembered about whom, and what is done about it.

Every model forbids unknown keys. Shorthands (`text: string`, `card: card`) are expanded here, so that the rest of
the project sees one shape. What needs more than one part of the document at once (names that must exist, types,
expressions) is checked where a policy is compiled, in `operators.program`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from schemas.document import Document as Document
from schemas.document import refuse, written
from schemas.duration import Budget, Delay, Duration, HourlyTick, Tick, Window
from schemas.event_spec import FIELD_TYPES as FIELD_TYPES
from schemas.event_spec import EventSpec as EventSpec
from schemas.event_spec import FieldSpec as FieldSpec
from schemas.event_spec import FieldType as FieldType
from schemas.event_spec import Timestamp as Timestamp
from schemas.event_spec import TimeUnit as TimeUnit
from schemas.policy_shape import AGGREGATES as AGGREGATES
from schemas.policy_shape import WINDOWED as WINDOWED
from schemas.policy_shape import entity_mistakes, envelope_mistakes, feature_mistakes, model_mistakes
from schemas.problem import BadValueError, show
from schemas.words import Expression, FileBelow, Input, Mode, Name, Names, Percent, Scale
from schemas.words import Pointer as Pointer
from schemas.words import Scalar as Scalar

Severity = Literal["low", "medium", "high", "critical"]

ModelVersion = Annotated[int, Field(strict=True, ge=1, examples=[1])]

RESERVED = ("event_id", "event_type", "event_time", "ingest_time", "any", "label")


class EntitySpec(Document):
    """A kind of entity that state is kept for. Short form: a column."""

    noun: ClassVar[str] = "an entity"
    example: ClassVar[str | None] = "{key: [account, ip]}"

    key: Names = Field(default=[])
    """The column, or columns together, that tell one entity from another."""
    each: Name | None = None
    """A column of type list<string>: each element is an entity."""
    ignore: list[str] = Field(default=[""])
    """Keys that stand for nobody: no state, features are NULL."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"key": [value]} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> "EntitySpec":
        refuse(entity_mistakes(written(self)))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core)]}


class ListSpec(Document):
    """A named list of entities of one kind."""

    noun: ClassVar[str] = "a list"
    example: ClassVar[str | None] = "{of: account, source: vip.txt}"

    of: Annotated[Name, Field(examples=["account"])]
    """The kind of entity."""
    source: FileBelow | None = None
    """File below `--lists` with one entity a line."""


class EnvelopeInput(Document):
    """What a tick of an envelope is. Short form: count."""

    noun: ClassVar[str] = "what an envelope looks at"
    example: ClassVar[str | None] = "{mean: latency}"

    sum: Name | None = None
    """Sum of a column in the tick; 0 where it is empty."""
    mean: Name | None = None
    """Mean of a column in the tick; a tick without a value is none."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "count":
            raise BadValueError(
                f"is {show(value)}, and it should be count, or a map: {{sum: COLUMN}} or {{mean: COLUMN}}"
            )
        return {} if value == "count" else value

    @model_validator(mode="after")
    def _one(self) -> "EnvelopeInput":
        refuse(envelope_mistakes(written(self)))
        return self

    @property
    def kind(self) -> str:
        """count, sum or mean."""
        return "sum" if self.sum is not None else "mean" if self.mean is not None else "count"

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"const": "count"}, handler(core)]}


class FeatureSpec(Document):
    """One number that is kept for each entity. Exactly one aggregate key is set."""

    noun: ClassVar[str] = "a feature"
    example: ClassVar[str | None] = "{count: post, by: account, over: 1h}"

    count: Name | None = None
    """How many events of a type; `any` counts all."""
    sum: Input | None = None
    """Sum of a column, exact at `scale` decimals."""
    mean: Input | None = None
    """Mean of a column."""
    min: Input | None = None
    """Smallest value of a column."""
    max: Input | None = None
    """Greatest value of a column."""
    last: Input | None = None
    """Value of the newest event by event time."""
    distinct: Input | None = None
    """How many different values of a column; exact below `cap`."""
    first_seen: Input | None = None
    """1 where the entity shows this value of a column for the first time, else 0; remembered for `over`, 30d unless given."""
    rate: Name | None = None
    """Events of a type per `per`; `any` counts all."""
    ratio: Annotated[list[Name], Field(min_length=2, max_length=2, examples=["[posts_1h, posts_7d]"])] | None = None
    """Two features: the first divided by the second."""
    age: Name | None = None
    """Seconds since the first event of an entity of this kind."""
    idle: Name | None = None
    """Seconds since the event before of an entity of this kind."""
    surprise: Tick | None = None
    """How unlikely the entity's arrivals are, given its own history in ticks of this length, 1s to 1d."""
    envelope: HourlyTick | None = None
    """How far a tick of this length, 1s to 1h, lies outside of what the entity's level, drift and hour of the day let expect."""

    by: Name | None = None
    """The entity that it is kept for."""
    over: Window | None = None
    """Length of the window, 10s to 90d."""
    on: Name | None = None
    """The event type that counts; every type where it is left out."""
    where: Expression | None = None
    """Only events for which this expression is TRUE count."""
    panes: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 12
    """Panes that the window is cut into: the answer covers `over` and at most one pane more."""
    cap: Annotated[int, Field(strict=True, ge=1, le=4_096)] = 32
    """Values that distinct and first_seen remember for an entity."""
    scale: Scale | None = None
    """Decimals that sum and mean keep; those of a decimal column, else 6."""
    per: Duration = 60_000
    """Unit of a rate."""
    delay: Delay | None = None
    """How long before the event the window ends, 1s to 90d: as long as labels take to arrive."""
    of: EnvelopeInput | None = None
    """What an envelope looks at in a tick: count, {sum: COLUMN} or {mean: COLUMN}; count where it is left out."""
    since: Literal["stream"] | None = None
    """`stream`: the history that a surprise assumes for a new entity goes back to when the feature came into the stream, so that whoever
    is new where everybody else has long been known is surprising."""

    @property
    def aggregate(self) -> str:
        """The aggregate key that is set."""
        return next(name for name in AGGREGATES if getattr(self, name) is not None)

    @property
    def tick(self) -> int:
        """Length of a tick in ms; 0 for what has none."""
        return self.surprise or self.envelope or 0

    @model_validator(mode="after")
    def _whole(self) -> "FeatureSpec":
        refuse(feature_mistakes(written(self)))
        return self


class ModelSpec(Document):
    """A number between 0 and 1 for each event: a version of the registry, or an ensemble of other models."""

    noun: ClassVar[str] = "a model"
    example: ClassVar[str | None] = "{version: 1, inputs: [amount]}"

    version: ModelVersion | None = None
    """Version in the registry. A model record of the config log comes before it."""
    inputs: list[Name] = Field(default=[])
    """Columns in the order of the model's inputs; those it was trained on where it is left out."""
    challenger: ModelVersion | None = None
    """A second version that is scored beside it: rules that read the model are judged with it too, in shadow only."""
    mean: Annotated[list[Name], Field(min_length=2, examples=["[fraud, fraud_forest]"])] | None = None
    """The mean of other models' scores."""
    max: Annotated[list[Name], Field(min_length=2, examples=["[fraud, spam]"])] | None = None
    """The greatest of other models' scores."""
    weighted: (
        Annotated[
            dict[Name, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
            Field(min_length=2, examples=["{fraud: 2, fraud_forest: 1}"]),
        ]
        | None
    ) = None
    """Their mean by these weights."""

    @property
    def members(self) -> list[str]:
        """The models that an ensemble is made of."""
        return self.mean or self.max or list(self.weighted or ())

    @model_validator(mode="after")
    def _whole(self) -> "ModelSpec":
        refuse(model_mistakes(written(self)))
        return self


class FdrSpec(Document):
    """How many of a rule's hits may be false, as a share: see `p(feature)`."""

    noun: ClassVar[str] = "a rate of false discoveries"
    example: ClassVar[str | None] = "{of: tx_surprise, at: 5%}"

    of: Annotated[Name, Field(examples=["tx_surprise"])]
    """The feature whose p-values are tested."""
    at: Annotated[Percent, Field(examples=["5%"])]
    """The expected share of false ones among the discoveries, 0.1% to 50%."""


class RuleSpec(Document):
    """When an expression is TRUE, what should happen to whom."""

    noun: ClassVar[str] = "a rule"
    example: ClassVar[str | None] = '{when: "amount > 100", action: review, target: account}'

    on: Names = Field(default=[])
    """Event types that the rule looks at; all where it is left out."""
    when: Annotated[Expression, Field(examples=['"amount > 100"'])]
    """SQL expression over columns, features and lists. The rule fires only on TRUE, never on NULL."""
    action: Annotated[Name, Field(examples=["review"])]
    """What is asked for: any name that the consumer of enforcement knows (limit, review, block, ...)."""
    target: Annotated[Name, Field(examples=["account"])]
    """The kind of entity that is acted on."""
    mode: Mode = "shadow"
    """off, shadow (verdicts that act on nobody), live, or live N% (that share of targets, the rest shadow).

    It counts only where no mode record exists.
    """
    severity: Severity = "medium"
    """For the people who look at verdicts."""
    cooldown: Duration = 0
    """For how long the rule does not act on the same target again."""
    expires: Duration | None = None
    """After how long the action ends."""
    max_actions: Budget = (1_000, 3_600_000)
    """The fuse: more actions than this and the rule is shadow until its mode is set again."""
    fdr: FdrSpec | None = None
    """Fire only for discoveries: events so extreme in a feature that few of them are chance."""
    warmup: Literal["wait", "ignore"] = "wait"
    """wait: shadow while a feature is younger than its window. ignore: act at once."""
    description: str = ""
    """What the rule is for, in a sentence."""
    policy_ref: str | None = None
    """The written policy that the rule enforces, for example spam/2.1."""
    owner: str | None = None
    """Who answers for the rule."""
    runbook: str | None = None
    """Where it says what to do when the rule fires."""


class ProtectSpec(Document):
    """Entities on `list` get `action` in place of what a rule asks for."""

    noun: ClassVar[str] = "a protected kind"
    example: ClassVar[str | None] = "{list: vip, action: review}"

    list: Annotated[Name, Field(examples=["vip"])]
    """The list that protects."""
    action: Annotated[Name, Field(examples=["review"])]
    """What happens in place of the rule's action."""


class TestSpec(Document):
    """A data file and how often each rule must fire on it."""

    noun: ClassVar[str] = "a test"
    __test__: ClassVar[bool] = False

    given: Annotated[str, Field(min_length=1, examples=["events.jsonl"])]
    """The data file, beside the policy."""
    labels: Annotated[str | None, Field(min_length=1, examples=["labels.jsonl"])] = None
    """The file of labels, beside the policy, where a feature reads labels."""
    expect: Annotated[dict[Name, Annotated[int, Field(strict=True, ge=0)]], Field(examples=["{some_rule: 1}"])]
    """Events for which each rule fires."""


class Policy(Document):
    """A whole policy document."""

    noun: ClassVar[str] = "a policy"
    example: ClassVar[str | None] = "`policy: shop`, and below it `events:`"

    policy: Annotated[Name, Field(examples=["marketplace"])]
    """The policy's name. It is part of the id of everything that comes out."""
    description: str = ""
    """What the policy is for."""
    events: Annotated[
        dict[Name, EventSpec],
        Field(min_length=1, examples=["{post: {id: /id, time: /time, fields: {account: string}}}"]),
    ]
    """Event types by name. A record that none of them takes is a dead letter."""
    derive: dict[Name, Expression] = Field(default={})
    """Columns computed from other columns, by name."""
    entities: dict[Name, EntitySpec] = Field(default={})
    """Kinds of entities that state is kept for, by name."""
    lists: dict[Name, ListSpec] = Field(default={})
    """Lists of entities, by name."""
    features: dict[Name, FeatureSpec] = Field(default={})
    """What is kept for each entity, by name."""
    models: dict[Name, ModelSpec] = Field(default={})
    """Classifiers of the registry and ensembles of them, by name: a rule reads the name as a number."""
    rules: dict[Name, RuleSpec] = Field(default={})
    """Rules, by name."""
    protect: dict[Name, ProtectSpec] = Field(default={})
    """Protected targets, by kind of entity."""
    include: list[Name] = Field(default=[])
    """Fields whose text may stand in a verdict."""
    tests: list[TestSpec] = Field(default=[])
    """What `watchgate rules test` runs."""
    max_record_bytes: Annotated[int, Field(strict=True, ge=256, le=8_388_608)] = 65_536
    """A longer record is a dead letter."""
    repeats: Annotated[int, Field(strict=True, ge=0, le=16_777_216)] = 1_000_000
    """How many event ids are remembered, so that a record sent twice is judged once."""
