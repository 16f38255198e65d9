"""The report of a training as one HTML file that needs nothing beside it: figures, and pictures as SVG inside.

matplotlib and jinja2 are of the extra `train`.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.wilson import wilson
from models.metrics import auc, average_precision, counts
from models.training import Trained
from operators.operating_points import UnreachableError, operating_point

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_BLUE, _RED, _GREY = "#3b7fc4", "#d2503c", "#888888"
_BINS = 10
"""Of the calibration picture, with the same number of events each."""
_BARS = 20
_PRECISIONS = (0.5, 0.8, 0.9, 0.95, 0.99)

_INK = "#010203"
"""Stands for the colour of the page's own text in a picture, until it is drawn."""
_NAMES = {"auc": "area under ROC", "brier": "Brier score", "macro_f1": "macro-F1", "positives": "share of positives"}
_NULLS = {"null_score": "no score", "missing": "a value like others"}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #222; --soft: #555; --line: #e4e4e4; --page: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --soft: #aaa; --line: #3a3a3a; --page: #181818 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--page) }
h1 { margin-bottom: 0 } h2 { margin-top: 2.2rem; font-size: 1.15rem }
.wide { overflow-x: auto } table { border-collapse: collapse }
td, th { padding: .2rem 1.2rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem }
figure { margin: 0 } svg { width: 100%; height: auto } figcaption, .small { color: var(--soft); font-size: .9rem }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ draft.kind }}{% if draft.description %}: {{ draft.description }}{% endif %}</p>
<p class="small">Trained on {{ "{:,}".format(window.events) }} labelled events ({{ "{:,}".format(window.positives) }} positive),
{{ window.start | minute }} to {{ window.end | minute }} (UTC). Everything below was measured on the {{ "{:,}".format(draft.metrics.events | int) }} events
that came after them.</p>
<h2>Figures</h2>
<table>
{% for name, value in figures %}<tr><td>{{ name }}</td><td class="n">{{ value }}</td></tr>
{% endfor %}</table>
<h2>What a threshold gives</h2>
<div class="wide"><table><tr><th class="n">precision wanted</th><th class="n">threshold</th><th class="n">precision (95 %)</th><th class="n">recall</th><th class="n">alerts a day</th></tr>
{% for row in points %}<tr>{% for cell in row %}<td class="n">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<h2>Pictures</h2>
<div class="grid">
{% for picture, words in pictures %}<figure>{{ picture | safe }}<figcaption>{{ words }}</figcaption></figure>
{% endfor %}</div>
<h2>Inputs</h2>
<div class="wide"><table><tr><th>name</th><th>digest of its definition</th><th class="n">NULL is</th></tr>
{% for one in draft.inputs %}<tr><td>{{ one.name }}</td><td>{{ one.fingerprint }}</td><td class="n">{{ one.on_null | null }}</td></tr>
{% endfor %}</table></div>
<p class="small">The exported model differs from the trained one by at most {{ parity }}. Calibration: {{ draft.calibration.method }}.
Created {{ draft.created_at | minute }} (UTC).</p>
</body></html>
"""


def report_page(trained: Trained, title: str) -> str | None:
    """The page; None where matplotlib or jinja2 is not installed."""
    if find_spec("matplotlib") is None or find_spec("jinja2") is None:
        return None
    draft = trained.draft
    known = ~np.isnan(trained.scores)
    scores, labels = trained.scores[known], trained.labels[known]
    # A name or a description may hold anything: the template escapes all but the pictures.
    environment = import_module("jinja2").Environment(autoescape=True)
    environment.filters |= {"minute": _minute, "null": _null}
    return str(
        environment.from_string(_PAGE).render(
            title=title,
            draft=draft,
            window=draft.trained_on,
            figures=[
                (_NAMES.get(name, name.replace("_", " ")), _number(value)) for name, value in draft.metrics.items()
            ],
            points=_points(trained),
            pictures=_pictures(scores, labels, trained.importance),
            parity=f"{trained.parity:.1g}",
        )
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 2 else f"{value:.4f}"


def _minute(time: str) -> str:
    """2026-03-02 09:05 of an ISO time."""
    return time[:16].replace("T", " ")


def _null(rule: str | float) -> str:
    return _NULLS[rule] if isinstance(rule, str) else f"{rule:.6g}"


def _points(trained: Trained) -> list[list[str]]:
    """For each precision the threshold that reaches it, on the test set."""
    curve = trained.draft.curve
    assert curve is not None
    rows = []
    for wanted in _PRECISIONS:
        try:
            found = operating_point(curve, "precision", wanted)
        except UnreachableError:
            rows.append([f"{wanted:.2f}", "not reached", "", "", ""])
            continue
        low, high = wilson(found.caught, found.flagged) or (0.0, 1.0)
        rows.append(
            [
                f"{wanted:.2f}",
                f"{found.threshold:.6f}",
                f"{found.caught / found.flagged:.3f} ({low:.3f}-{high:.3f})",
                f"{found.caught / max(1, found.positives):.3f}",
                f"{found.alerts_per_day:,.1f}",
            ]
        )
    return rows


def _pictures(scores: Floats, labels: Mask, importance: list[tuple[str, float]]) -> list[tuple[str, str]]:
    drawn: list[tuple[Callable[[Any], None], str]] = [
        (
            lambda axes: _draw_precision(axes, scores, labels),
            "Of what is flagged, how much is right, by how much is found.",
        ),
        (
            lambda axes: _draw_roc(axes, scores, labels),
            "Share of positive events found, by share of the others flagged.",
        ),
        (
            lambda axes: _draw_calibration(axes, scores, labels),
            "How often events with a score really were positive: on the line, a score is a probability.",
        ),
        (lambda axes: _draw_histogram(axes, scores, labels), "Scores of both classes; the counts are on a log scale."),
    ]
    if importance:
        drawn.append(
            (
                lambda axes: _draw_importance(axes, importance[:_BARS]),
                "What average precision loses when an input is shuffled.",
            )
        )
    return [(_svg(draw), words) for draw, words in drawn]


def _svg(draw: Callable[[Any], None]) -> str:
    """A picture as SVG text, in the page's own colours; the same bytes for the same figures."""
    matplotlib = import_module("matplotlib")
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    clear = {"figure.facecolor": "none", "axes.facecolor": "none"}
    plain = {"svg.hashsalt": "watchgate", "svg.fonttype": "none", "font.size": 10}
    with matplotlib.rc_context(plain | clear | dict.fromkeys(inks, _INK)):
        figure = import_module("matplotlib.figure").Figure(figsize=(5.2, 3.8), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        out = StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def _draw_precision(axes: Any, scores: Floats, labels: Mask) -> None:
    flagged, caught = counts(scores, labels)
    # Up to where all are found: of what is flagged beyond that nothing is right.
    until = int(np.argmax(caught == caught[-1])) + 1
    recall, precision = caught[:until] / labels.sum(), (caught / flagged)[:until]
    axes.step(np.append(0, recall), np.append(precision[0], precision), where="pre", color=_BLUE)
    axes.axhline(labels.mean(), color=_GREY, linestyle=":", label=f"by chance {labels.mean():.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"Precision and recall: average precision {average_precision(scores, labels):.3f}")
    axes.legend(frameon=False)


def _draw_roc(axes: Any, scores: Floats, labels: Mask) -> None:
    flagged, caught = counts(scores, labels)
    wrong = np.append(0, flagged - caught) / (~labels).sum()
    axes.plot(wrong, np.append(0, caught) / labels.sum(), color=_BLUE)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"ROC: area {auc(scores, labels):.3f}")


def _draw_calibration(axes: Any, scores: Floats, labels: Mask) -> None:
    bins = [part for part in np.array_split(np.argsort(scores, kind="stable"), _BINS) if len(part)]
    told = [float(scores[part].mean()) for part in bins]
    happened = [float(labels[part].mean()) for part in bins]
    bounds = [wilson(int(labels[part].sum()), len(part)) or (0.0, 1.0) for part in bins]
    low = [max(0.0, h - b[0]) for h, b in zip(happened, bounds, strict=True)]
    high = [max(0.0, b[1] - h) for h, b in zip(happened, bounds, strict=True)]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    axes.errorbar(told, happened, yerr=[low, high], color=_BLUE, marker="o", markersize=4, linewidth=1)
    axes.set(xlabel="score", ylabel="share that was positive", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title("Calibration")


def _draw_histogram(axes: Any, scores: Floats, labels: Mask) -> None:
    edges = np.linspace(0, 1, 41)
    axes.hist(scores[~labels], edges, color=_GREY, alpha=0.7, label="negative")
    axes.hist(scores[labels], edges, color=_RED, histtype="step", linewidth=1.5, label="positive")
    axes.set(xlabel="score", ylabel="events", yscale="log", xlim=(0, 1), ylim=(0.5, None))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("Scores")
    axes.legend(frameon=False)


def _draw_importance(axes: Any, importance: list[tuple[str, float]]) -> None:
    names = [name for name, _ in reversed(importance)]
    axes.barh(names, [lost for _, lost in reversed(importance)], color=_BLUE)
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlabel="loss of average precision")
    axes.set_title("Weight of inputs")
