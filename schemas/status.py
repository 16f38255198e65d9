"""A status record: a fact about the job that an operator wants to know. Written at least once, so it may repeat."""

from typing import Annotated, Any

from pydantic import Field

from schemas.cloudevents import IsoTime, Output


class Status(Output):
    """One fact."""

    kind: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", examples=["config_applied"])]
    """What sort of fact, to count by.

    config_applied, config_rejected, config_available, config_unavailable, policy_applied, fuse_tripped, lists_loaded,
    state_migrated, rule_error, late_events, model_refused, model_unavailable, model_failed; later versions may add more.
    """
    subject: str
    """What it is about: a rule, a key of the config, a list, a file."""
    at: IsoTime | None
    """Ingest time at which it came to be; null before the first event."""
    epoch: str | None
    """What was in force; null where it does not matter."""
    subtask: Annotated[int, Field(ge=0)]
    """Which subtask says so, from 0."""
    of: Annotated[int, Field(ge=1)]
    """How many subtasks there are."""
    detail: dict[str, Any]
    """The fact for a program."""
    message: Annotated[str, Field(min_length=1)]
    """The fact for a person, in a sentence."""
