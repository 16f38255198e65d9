"""threshold(fraud, precision=0.95): the number that an operating point of a model stands for, known when the policy is
compiled.
"""

from operators.expressions.errors import ExpressionError, nearest
from operators.expressions.syntax import Call, Literal, Name, Operator
from operators.expressions.types import ThresholdError, Type
from operators.expressions.values import Context, Value, constant

FORM = "threshold(model, precision=0.95), or recall=, or alerts_per_day="
_POINTS = ("precision", "recall", "alerts_per_day")


def threshold(context: Context, node: Call) -> Value:
    """A constant number. Raises ExpressionError for a model or point that there is not, and one that is not reached."""
    if len(node.args) != 2:
        raise ExpressionError(
            f"threshold takes 2 arguments, not {len(node.args)}",
            context.text,
            node.call_start,
            len(node.name),
            f"write {FORM}",
        )
    model, wish = node.args
    if not isinstance(model, Name):
        raise context.error(model, "threshold asks about a model, named without quotes", f"write {FORM}")
    if model.name not in context.scope.models:
        known = ", ".join(sorted(context.scope.models)[:5])
        hint = nearest(model.name, context.scope.models) or (
            f"models of this policy: {known}" if known else "this policy has no models (models:)"
        )
        raise context.error(model, f"there is no model `{model.name}`", hint)
    if not (
        isinstance(wish, Operator)
        and wish.op == "="
        and isinstance(wish.args[0], Name)
        and isinstance(wish.args[1], Literal)
    ):
        raise context.error(wish, "this is no operating point", f"write {FORM}")
    point, wanted = wish.args[0].name, wish.args[1].value
    if point not in _POINTS:
        hint = nearest(point, _POINTS) or f"write {FORM}"
        raise context.error(wish.args[0], f"there is no operating point `{point}`", hint)
    most = None if point == "alerts_per_day" else 1
    if isinstance(wanted, bool | str) or wanted is None or wanted <= 0 or (most is not None and wanted > most):
        raise context.error(
            wish.args[1], f"{point} is a number above 0" + (f" and up to {most}" if most else ""), f"write {FORM}"
        )
    try:
        value = context.scope.models[model.name](point, float(wanted))
    except ThresholdError as error:
        raise context.error(node, str(error), error.hint) from None
    return constant(node, Type.NUMBER, value)
