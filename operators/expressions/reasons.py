"""Why a rule fired, in one line for a verdict: the conditions that made it TRUE, with their values but without any text
of the event.
"""

from operators.expressions.bounds import Row, matched, written
from operators.expressions.compiling import Compiled
from operators.expressions.leaves import Leaf, Logic
from operators.expressions.types import Type


def reason_text(compiled: Compiled, row: Row) -> str:
    """The leaves that made a condition TRUE for `row`, as `authors_1d 4 (>= 3), not in list vip, text matched`.

    `row` brings `compiled.reason_columns` by name and, where it is to tell texts joined by OR apart,
    `compiled.reason_exprs`; without those the leaves in question are joined by "or". Only numbers, booleans and
    timestamps are shown as values. Plain Python, O(leaves); the condition is taken to be TRUE, nothing is evaluated
    again.
    """
    return ", ".join(dict.fromkeys(_support(compiled.tree, True, row))) if compiled.tree is not None else ""


def _support(tree: Logic, truth: bool, row: Row) -> list[str]:
    """What makes `tree` have the answer `truth`."""
    if isinstance(tree, Leaf):
        return [_shown(tree, truth, row)]
    if tree.op == "not":
        return _support(tree.parts[0], not truth, row)
    if truth == (tree.op == "and"):
        return [text for part in tree.parts for text in _support(part, truth, row)]
    answers = [_answer(part, row) for part in tree.parts]
    certain = [part for part, answer in zip(tree.parts, answers, strict=True) if answer is truth]
    if certain:
        return [text for part in certain for text in _support(part, truth, row)]
    possible = [part for part, answer in zip(tree.parts, answers, strict=True) if answer == "unknown"]
    return (
        [" or ".join(dict.fromkeys(" and ".join(_support(part, truth, row)) for part in possible))] if possible else []
    )


def _answer(tree: Logic, row: Row) -> bool | str | None:
    """TRUE, FALSE, NULL, or "unknown" where the row does not tell."""
    if isinstance(tree, Leaf):
        if tree.column in row:
            value = row[tree.column]
            return None if value is None else bool(value)
        return tree.bound.holds(row) if tree.bound is not None and tree.decided_by_row else "unknown"
    answers = [_answer(part, row) for part in tree.parts]
    if tree.op == "not":
        return answers[0] if answers[0] in (None, "unknown") else not answers[0]
    decisive = tree.op == "or"
    if any(answer is decisive for answer in answers):
        return decisive
    if "unknown" in answers:
        return "unknown"
    return None if None in answers else not decisive


def _shown(leaf: Leaf, truth: bool, row: Row) -> str:
    if leaf.bound is not None:
        return leaf.bound.shown(row, truth)
    texts = [name for name, kind in leaf.reads.items() if kind in (Type.STRING, Type.LIST)]
    if texts:
        return matched(" and ".join(texts), truth)
    values = ", ".join(f"{name} {written(row.get(name))}" for name in leaf.reads)
    return f"{'' if truth else 'not '}{leaf.text}" + (f" ({values})" if values else "")
