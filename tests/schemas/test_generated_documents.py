"""The committed JSON Schema files and the AsyncAPI document are what the models say, and say all of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import schemas
from schemas.cloudevents import TYPES
from schemas.documents import documents, generate
from schemas.source_text import SourceText

GENERATED = Path(next(iter(schemas.__path__))) / "generated"
SCHEMAS = sorted(name for name in documents() if name != "asyncapi.json")


def test_committed_files_are_in_step(tmp_path: Path) -> None:
    """If this fails: `watchgate schema --output schemas/generated`, and read the difference."""
    files = generate(tmp_path / "new" / "folder")
    assert {f.name for f in files} == {f.name for f in GENERATED.glob("*.json")}
    for file in files:
        assert file.read_text(encoding="utf-8") == (GENERATED / file.name).read_text(encoding="utf-8"), file.name


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft7Validator.check_schema(documents()[name])


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "properties":
                yield from ((f"{path}/{name}", spec) for name, spec in value.items())
            yield from properties(value, f"{path}/{key}")
    elif isinstance(node, list):
        for item in node:
            yield from properties(item, path)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_says_what_it_is(name: str) -> None:
    assert [path for path, spec in properties(documents()[name]) if not spec.get("description")] == []


def mistakes(name: str, document: object) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(documents()[name]).iter_errors(document)]


def test_an_editor_takes_shorthands() -> None:
    text = (Path(__file__).parent / "marketplace.yaml").read_text(encoding="utf-8")
    assert mistakes("policy.json", SourceText(text).root.value) == []


@pytest.mark.parametrize(
    "part",
    [
        {"rule": {}},
        {"rules": {"big": {"when": "x", "action": "a", "target": "b", "mode": "on"}}},
        {"rules": {"Big": {"when": "x", "action": "a", "target": "b"}}},
        {"rules": {"big": {"when": "x", "action": "a"}}},
        {"features": {"f": {"count": "sale", "by": "a", "over": "1 hour"}}},
        {"entities": {"a": 5}},
        {"policy": 5},
    ],
)
def test_an_editor_marks_mistakes(part: dict[str, Any]) -> None:
    document = {"policy": "shop", "events": {"sale": {"id": "/id", "time": "/at"}}}
    assert mistakes("policy.json", document) == []
    assert mistakes("policy.json", {**document, **part})


def test_config_records() -> None:
    assert not mistakes("config.json", {"timeline": "a"})
    assert not mistakes("config.json", {"key": "mode/*", "value": {"ceiling": "shadow"}, "by": "anna"})
    assert not mistakes(
        "config.json", {"key": "mode/big", "value": {"mode": "live 5%", "digest": None}, "effective_at": None}
    )
    assert mistakes("config.json", {"key": "mode/*", "value": {"mode": "live"}})
    assert mistakes("config.json", {"key": "modes/big", "value": {"mode": "live"}})


def test_asyncapi() -> None:
    document = documents()["asyncapi.json"]
    addresses = {channel["address"]: channel for channel in document["channels"].values()}
    assert set(addresses) == {*TYPES, "config", "lists"}

    def resolve(reference: str) -> Any:
        if reference.startswith("./"):
            return json.loads((GENERATED / reference).read_text(encoding="utf-8"))
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        return node

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for item in node:
                yield from references(item)

    for reference in references(document):
        assert resolve(reference)
    for topic, type_ in TYPES.items():
        (message,) = (resolve(m["$ref"]) for m in addresses[topic]["messages"].values())
        assert message["headers"]["properties"]["ce_type"] == {"const": type_}
        assert message["bindings"]["kafka"]["key"]["description"]
    assert {o["action"] for n, o in document["operations"].items() if n.startswith("send")} == {"send"}
