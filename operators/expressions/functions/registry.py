"""All functions by name, and what to say about names that are none."""

from operators.expressions.functions import (
    choices,
    domain,
    entropy,
    fingerprint,
    lists,
    numbers,
    patterns,
    phone,
    subnet,
    texts,
    times,
)
from operators.expressions.functions.signature import Function

_MODULES = (choices, domain, entropy, fingerprint, lists, numbers, patterns, phone, subnet, texts, times)

FUNCTIONS: dict[str, Function] = {function.name: function for module in _MODULES for function in module.FUNCTIONS}
IN_LIST = "in_list"
"""Takes names, not values: compiled by `operators.expressions.entity_lists`."""
P_VALUE = "p"
"""Takes a feature's name: compiled by `operators.expressions.p_values`."""
THRESHOLD = "threshold"
"""Takes a model and an operating point: compiled by `operators.expressions.thresholds`."""

AGGREGATES = frozenset(
    (
        "count",
        "sum",
        "avg",
        "mean",
        "median",
        "stddev",
        "variance",
        "count_if",
        "array_agg",
        "string_agg",
        "first",
        "last",
        "any_value",
    )
)
CLOCKS = frozenset(
    (
        "now",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtime",
        "localtimestamp",
        "today",
        "getdate",
        "sysdate",
    )
)
INSTEAD = {
    "min": "the smallest of several values is least(a, b); the smallest of many events is a feature (features:)",
    "max": "the largest of several values is greatest(a, b); the largest of many events is a feature (features:)",
    "len": "did you mean `length`?",
    "char_length": "did you mean `length`?",
    "ceiling": "did you mean `ceil`?",
    "pow": "did you mean `power`?",
    "log": "write ln(...) or log10(...)",
    "ifnull": "did you mean `coalesce`?",
    "nvl": "did you mean `coalesce`?",
    "regexp_matches": "did you mean `regexp_like`?",
    "extract": "write hour(timestamp) or weekday(timestamp)",
    "dayofweek": "did you mean `weekday`?",
    "if": "write CASE WHEN condition THEN a ELSE b END",
    "random": "an expression has the same answer each time: use mode: live N% to act on a share",
    "rand": "an expression has the same answer each time: use mode: live N% to act on a share",
}
