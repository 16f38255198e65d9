"""The arguments of jobs/flink.py: what `watchgate submit` passes on, and what a person gives to `flink run`."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.duration import parse_duration
from schemas.times import parse_iso

DELIVERIES = ("exactly-once", "at-least-once")
_SHORTEST_MS = 10
"""Flink's own bound for the time between checkpoints."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Durations in ms. `start` is earliest, latest or a time in ms; `jar` None: what Flink's lib has, else the one that pom.xml
    pins; `checkpoint_ms` None: by delivery."""

    policy: Path
    kafka: str
    events: tuple[str, ...]
    prefix: str
    lists: Path
    registry: Path | None
    client_properties: Path | None
    start: str | int
    parallelism: int | None
    delivery: str
    emit: str
    name: str | None
    checkpoint_ms: int | None
    jar: Path | None


def parse_arguments(arguments: Sequence[str]) -> Arguments:
    """Ends the process with a usage text where they are wrong."""
    parser = argparse.ArgumentParser("jobs/flink.py", description="Watchgate on a Flink cluster, Kafka to Kafka.")
    parser.add_argument("--policy", type=Path, required=True, help="the policy file, YAML or JSON")
    parser.add_argument("--kafka", required=True, help="brokers: HOST:PORT, several with commas")
    parser.add_argument("--events", action="append", help="topic to read; may be repeated; PREFIX.events unless given")
    parser.add_argument("--prefix", default="", help="what the names of the job's topics begin with")
    parser.add_argument("--lists", type=Path, help="folder of the policy's list files; the policy's own unless given")
    parser.add_argument("--registry", type=Path, help="folder of models, which the TaskManagers must see as well")
    parser.add_argument("--client-properties", type=Path, help="security settings of Kafka clients")
    parser.add_argument(
        "--from",
        dest="start",
        type=_said(start_at),
        default="earliest",
        help="where a job without a savepoint begins: earliest, latest, or a time such as 2026-01-02T03:04:05Z",
    )
    parser.add_argument(
        "--parallelism", type=_count, help="subtasks of each operator; the cluster's default if left out"
    )
    parser.add_argument("--delivery", choices=DELIVERIES, default="exactly-once")
    parser.add_argument("--emit", choices=("hits", "all"), default="hits", help="verdicts for hits or for all events")
    parser.add_argument("--name", help="name of the job; watchgate-POLICY unless given")
    parser.add_argument("--checkpoint-interval", type=_said(checkpoint_interval), help="such as 2s")
    parser.add_argument(
        "--jar", type=Path, help="Flink's Kafka connector, if neither Flink's lib has it nor Watchgate may fetch it"
    )
    found = parser.parse_args(arguments)
    return Arguments(
        found.policy,
        found.kafka,
        tuple(found.events or ()),
        found.prefix,
        found.lists or found.policy.parent,
        found.registry,
        found.client_properties,
        found.start,
        found.parallelism,
        found.delivery,
        found.emit,
        found.name,
        found.checkpoint_interval,
        found.jar,
    )


def start_at(text: str) -> str | int:
    """earliest, latest or a time in ms. Raises ValueError."""
    if text in ("earliest", "latest"):
        return text
    try:
        return parse_iso(text)
    except ValueError as error:
        raise ValueError(f"write earliest, latest or a time: {error}") from None


def checkpoint_interval(text: str) -> int:
    """In ms. Raises ValueError."""
    found = parse_duration(text)
    if found < _SHORTEST_MS:
        raise ValueError(f"Flink waits for {_SHORTEST_MS} ms at least; a job has time for its work from 500ms on")
    return found


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _said(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """argparse keeps what a ValueError says to itself."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
