"""What jobs saw of a config file, kept beside it: the rules of the last one, the digest of each, and their hits; and which
version of a rule a mode was set for that was set before any job had run.

`watchgate mode set` reads it to name unknown rules, to bind a mode to the rule as it stands, and to show what a rule did in shadow
before it is promoted. Losing it loses no record; a mode that says no version of its rule is then taken for that of the next job.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from operators.hashing import hash_bytes


@dataclass(frozen=True, slots=True)
class SeenRule:
    digest: str
    mode: str
    hits: int
    shadow_hits: int
    acted: int
    shadow_acted: int


@dataclass(frozen=True, slots=True)
class Seen:
    policy: str
    timeline: str
    at: str | None
    """Ingest time that the job had reached."""
    judged: int
    rules: dict[str, SeenRule]
    bound: dict[str, str] = field(default_factory=dict)
    """By the hash of a record that names no version of its rule: the version of the first job that took it."""


def unbound(record: bytes) -> str | None:
    """The record's hash, where it sets the mode of a rule and does not say of which version; else None."""
    try:
        document = orjson.loads(record)
        rule = document["key"].removeprefix("mode/")
        if rule in ("*", document["key"]) or document["value"].get("digest") is not None:
            return None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    return f"{hash_bytes(record):016x}"


def bind(record: bytes, bound: Mapping[str, str]) -> bytes:
    """The record with the version of its rule, where that is known and the record does not say it."""
    found = unbound(record)
    if found is None or found not in bound:
        return record
    document = orjson.loads(record)
    document["value"]["digest"] = bound[found]
    return orjson.dumps(document)


def seen_path(config: Path) -> Path:
    return config.with_name(config.name + ".seen.json")


def write_seen(config: Path, seen: Seen) -> None:
    """Replaces the file in one step; a reader sees the old one or the new one."""
    path = seen_path(config)
    draft = path.with_name(path.name + f".{os.getpid()}.tmp")
    draft.write_bytes(orjson.dumps(seen, option=orjson.OPT_INDENT_2))
    draft.replace(path)


def read_seen(config: Path) -> Seen | None:
    """None when no job has run with this config, or the file is not readable as one."""
    try:
        document = orjson.loads(seen_path(config).read_bytes())
        rules = {name: SeenRule(**rule) for name, rule in document.pop("rules").items()}
        return Seen(rules=rules, **document)
    except (OSError, orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
        return None
