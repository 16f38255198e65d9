"""The documents for other programs: a JSON Schema of everything that crosses a boundary, and one AsyncAPI 3 document.

The files in `schemas/generated` are what `generate` writes; an editor that is pointed at `policy.json` completes and
explains the keys of a policy.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from schemas.asyncapi import asyncapi
from schemas.config import RECORDS, TimelineHeader
from schemas.deadletter import DeadLetter
from schemas.enforcement import Enforcement
from schemas.manifest import Manifest
from schemas.members import Member
from schemas.policy import Policy
from schemas.status import Status
from schemas.verdict import Verdict

Json = dict[str, Any]

_DIALECT = "http://json-schema.org/draft-07/schema#"


def documents() -> dict[str, Json]:
    """Every document by file name."""
    config = TypeAdapter(TimelineHeader | _union(list(RECORDS.values())))
    return {
        "policy.json": _schema("Policy", TypeAdapter(Policy), "validation"),
        "config.json": _schema("Config record", config, "validation"),
        "member.json": _schema("List member", TypeAdapter(Member), "validation"),
        "verdict.json": _schema("Verdict", TypeAdapter(Verdict), "serialization"),
        "enforcement.json": _schema("Enforcement", TypeAdapter(Enforcement), "serialization"),
        "deadletter.json": _schema("Dead letter", TypeAdapter(DeadLetter), "serialization"),
        "status.json": _schema("Status", TypeAdapter(Status), "serialization"),
        "manifest.json": _schema("Model manifest", TypeAdapter(Manifest), "validation"),
        "asyncapi.json": asyncapi(),
    }


def generate(directory: Path) -> list[Path]:
    """Writes every document into a folder, made if it is not there; returns the files. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for name, document in documents().items():
        file = directory / name
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        files.append(file)
    return files


def _union(models: list[Any]) -> Any:
    union = models[0]
    for model in models[1:]:
        union = union | model
    return union


def _schema(title: str, adapter: TypeAdapter[Any], mode: JsonSchemaMode) -> Json:
    schema = adapter.json_schema(mode=mode)
    _tidy(schema, closed=mode == "validation")
    return {"$schema": _DIALECT, "title": title, **schema}


def _tidy(node: Any, closed: bool) -> None:
    """Drops titles that only repeat a key, closes what comes in against unknown keys, leaves open what goes out."""
    if isinstance(node, list):
        for item in node:
            _tidy(item, closed)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if not closed and node.get("additionalProperties") is False:
        del node["additionalProperties"]
    if isinstance(node.get("description"), str):
        node["description"] = " ".join(node["description"].split())
    for value in node.values():
        _tidy(value, closed)
