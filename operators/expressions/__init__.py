"""The expression language of policies: SQL that is checked against the policy's types and run on whole columns."""

from operators.expressions.compiling import Compiled, compile_expression
from operators.expressions.errors import ExpressionError
from operators.expressions.explaining import Explanation, Term, explain
from operators.expressions.reasons import reason_text
from operators.expressions.types import ListRef, Scope, ThresholdError, Type

__all__ = [
    "Compiled",
    "Explanation",
    "ExpressionError",
    "ListRef",
    "Scope",
    "Term",
    "ThresholdError",
    "Type",
    "compile_expression",
    "explain",
    "reason_text",
]
