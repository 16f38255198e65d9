"""The manifest of a model version: what it reads, how its score is made, and what it did on events that it was not trained on.

It stands beside the model as `manifest.json` and is never changed. Everything that a job needs to score, to explain a
score, to turn an operating point into a number and to check that the file still does what it did, is in here.
"""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from schemas.cloudevents import IsoTime
from schemas.document import Document, refuse
from schemas.policy_shape import Mistake
from schemas.words import Name

FORMAT = 1
"""Of a manifest. A newer one is refused."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]
Point = Literal["precision", "recall", "alerts_per_day"]


class ModelInput(Document):
    """A column that the model reads."""

    noun: ClassVar[str] = "an input"

    name: Name
    """The column's name in the policy that it was trained with."""
    fingerprint: Annotated[str, Field(min_length=1)] | None = None
    """What defined the column then (`Program.prints`). A job refuses the model where the definition is another; null: not bound."""
    type: Literal["number", "text"] = "number"
    """number: whole numbers, numbers and booleans (0 and 1). text: strings."""
    on_null: Finite | Literal["null_score", "missing"] = "null_score"
    """For a NULL: a number to take in its place; null_score: no score; missing: NaN is handed on to the model."""


class ModelOutput(Document):
    """Where the score stands in what the model returns."""

    noun: ClassVar[str] = "an output"

    tensor: Annotated[str, Field(min_length=1)]
    """Name of the output: a tensor of numbers, [rows], [rows, 1] or [rows, classes]."""
    column: Count = 0
    """Which class, where there are several."""


class Calibration(Document):
    """What turns the output x into the score, outside of the graph: none, Platt's sigmoid, or isotonic steps."""

    noun: ClassVar[str] = "a calibration"

    method: Literal["none", "platt", "isotonic"] = "none"
    """none: the output is the score. platt: 1 / (1 + exp(-(slope x + offset))). isotonic: linear between the points."""
    of: Literal["output", "log_odds"] = "output"
    """Of platt, what x is: the output, or log(p / (1 - p)) of an output p that is a probability, held within 0.00001 and 0.99999."""
    slope: Finite = 1.0
    """Of platt."""
    offset: Finite = 0.0
    """Of platt."""
    x: list[Finite] = Field(default=[])
    """Outputs of isotonic, ascending."""
    y: list[Finite] = Field(default=[])
    """Scores of isotonic, one for each of `x`, not descending; outside of `x` the first and the last hold."""

    @model_validator(mode="after")
    def _whole(self) -> "Calibration":
        rising = all(a < b for a, b in zip(self.x, self.x[1:], strict=False))
        level = all(a <= b for a, b in zip(self.y, self.y[1:], strict=False))
        if self.method == "isotonic" and (len(self.x) < 2 or len(self.x) != len(self.y) or not (rising and level)):
            refuse(
                [
                    Mistake(
                        None,
                        "isotonic calibration needs x and y of one length, at least 2, x ascending and y not descending",
                    )
                ]
            )
        return self


class Curve(Document):
    """What the scores of the calibration set would have flagged: exact counts at chosen scores, highest score first.

    At threshold `scores[i]` (score >= it), `flagged[i]` events are flagged and `caught[i]` of them are positive.
    """

    noun: ClassVar[str] = "a curve"

    events: Annotated[int, Field(strict=True, ge=1)]
    """Events of the calibration set."""
    positives: Count
    """Positive ones among them."""
    days: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Days that they span."""
    scores: Annotated[list[Finite], Field(min_length=1)]
    """Scores as a job would give them (rounded), descending."""
    flagged: list[Count]
    """Events with at least that score."""
    caught: list[Count]
    """Positive events with at least that score."""

    @model_validator(mode="after")
    def _whole(self) -> "Curve":
        if not len(self.scores) == len(self.flagged) == len(self.caught):
            refuse([Mistake(None, "a curve needs scores, flagged and caught of one length")])
        falling = all(a > b for a, b in zip(self.scores, self.scores[1:], strict=False))
        rising = all(a <= b for counts in (self.flagged, self.caught) for a, b in pairwise(counts))
        within = all(c <= f for c, f in zip(self.caught, self.flagged, strict=True))
        if not (falling and rising and within) or self.flagged[-1] > self.events or self.caught[-1] > self.positives:
            refuse([Mistake(None, "a curve needs descending scores and ascending counts, caught <= flagged <= events")])
        return self


class TrainingWindow(Document):
    """What the model was trained on."""

    noun: ClassVar[str] = "a training window"

    start: IsoTime
    """Time of the first event."""
    end: IsoTime
    """Time of the last event."""
    events: Count
    """How many events."""
    positives: Count
    """Positive ones among them."""


class Golden(Document):
    """Rows and the scores that they must give, on every machine. They are kept with the model: no one's data belongs here."""

    noun: ClassVar[str] = "golden rows"

    inputs: Annotated[list[list[bool | int | Finite | str | None]], Field(min_length=1)]
    """One list a row, in the order of the model's inputs."""
    outputs: list[Finite | None]
    """The score of each row, after calibration; null for no score."""
    tolerance: Annotated[float, Field(ge=0, le=1e-3)] = 1e-5
    """How far a score may be from it."""


class Linear(Document):
    """The score's logit is a sum over inputs: what an input adds is coefficient x (value - mean). With an isotonic calibration
    it is the logit of the model's own output.
    """

    noun: ClassVar[str] = "an explanation"

    kind: Literal["linear"] = "linear"
    """linear."""
    coefficients: list[Finite]
    """One an input, for the input as the policy gives it (scaling is multiplied in)."""
    means: list[Finite]
    """The mean of each input in training."""


class Baseline(Document):
    """What an input adds is the score minus the score with that input at its baseline, one at a time."""

    noun: ClassVar[str] = "an explanation"

    kind: Literal["baseline"] = "baseline"
    """baseline."""
    values: list[Finite | None]
    """An ordinary value of each input, such as its median in training; null for NULL."""


class TextEncoding(Document):
    """How a text becomes the arrays that the model takes."""

    noun: ClassVar[str] = "a text encoding"

    kind: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    """Name of the encoding; a job refuses one that it does not know."""
    options: dict[str, bool | int | Finite | str] = Field(default={})
    """What the encoding was trained with."""


class ManifestDraft(Document):
    """All of a manifest but what the registry gives it."""

    noun: ClassVar[str] = "a manifest"

    name: Name
    """The model's name: the folder in the registry."""
    kind: Annotated[str, Field(min_length=1, max_length=64)]
    """What it is, in a word: logistic, forest, xgboost, lightgbm, text, imported."""
    description: str = ""
    """What it tells, in a sentence."""
    created_at: IsoTime | None = None
    """When it was made, by the clock of who made it."""
    inputs: Annotated[list[ModelInput], Field(min_length=1)]
    """In the order of the model's own."""
    layout: Literal["matrix", "columns", "text"] = "matrix"
    """matrix: one tensor [rows, inputs]. columns: a tensor [rows, 1] or [rows] for each input. text: what the encoding gives."""
    output: ModelOutput
    """Where the score stands."""
    calibration: Calibration = Calibration()
    """What turns the output into the score."""
    text: TextEncoding | None = None
    """Of layout text: how the one input, a text, is encoded."""
    curve: Curve | None = None
    """What scores of events that it was not trained on would have flagged: thresholds are made of it."""
    trained_on: TrainingWindow | None = None
    """The training window."""
    metrics: dict[str, Finite] = Field(default={})
    """Figures on events that it was not trained on, by name: average_precision, auc, ..."""
    golden: Golden
    """Rows to check the file with before it scores."""
    explanation: Annotated[Linear | Baseline, Field(discriminator="kind")] | None = None
    """How a score is told in terms of its inputs; null: it is not."""

    @model_validator(mode="after")
    def _fits(self) -> "ManifestDraft":
        count, names = len(self.inputs), [one.name for one in self.inputs]
        mistakes = []
        if len(set(names)) < count:
            mistakes.append(Mistake(None, "two inputs of a model have one name"))
        if (self.layout == "text") != (self.text is not None):
            mistakes.append(Mistake(None, "layout text and a text encoding go together"))
        if self.layout == "text" and (count != 1 or self.inputs[0].type != "text"):
            mistakes.append(Mistake(None, "layout text takes one input, and its type is text"))
        if self.layout == "matrix" and any(one.type == "text" for one in self.inputs):
            mistakes.append(Mistake(None, "layout matrix takes numbers only"))
        if any(one.type == "text" and one.on_null != "null_score" for one in self.inputs):
            mistakes.append(Mistake(None, "an input of type text takes on_null: null_score only"))
        if any(len(row) != count for row in self.golden.inputs) or len(self.golden.inputs) != len(self.golden.outputs):
            mistakes.append(Mistake(None, "golden rows need one value for each input, and one output for each row"))
        lengths = {
            "linear": lambda e: {len(e.coefficients), len(e.means)},
            "baseline": lambda e: {len(e.values)},
        }
        if self.explanation is not None and lengths[self.explanation.kind](self.explanation) != {count}:
            mistakes.append(Mistake(None, "an explanation needs one number for each input"))
        refuse(mistakes)
        return self


class Manifest(ManifestDraft):
    """What a version of a model is. Never changed after it was written."""

    format: Annotated[int, Field(strict=True, ge=1, le=FORMAT)] = FORMAT
    """Version of this document."""
    version: Annotated[int, Field(strict=True, ge=1)]
    """The version: the folder in the model's folder."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of model.onnx."""
