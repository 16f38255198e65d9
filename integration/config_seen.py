"""What a job last saw of a config file, kept beside it: the rules it runs, the digest of each, and their hits.

`watchgate mode set` reads it to name unknown rules, to bind a mode to the rule as it stands, and to show what a rule
did in shadow before it is promoted. It is a convenience: losing it loses nothing.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import orjson


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
