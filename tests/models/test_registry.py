"""The registry: versions appear whole, never change, and what is loaded is what was hashed."""

import threading
from pathlib import Path
from typing import Any

import pytest

from models.registry import Registry, RegistryError, parse_reference
from schemas.manifest import ManifestDraft

DATA = b"the bytes of a model"


def draft(**parts: Any) -> ManifestDraft:
    base: dict[str, Any] = {
        "name": "fraud",
        "kind": "logistic",
        "inputs": [{"name": "amount", "fingerprint": "aa"}, {"name": "spend_7d", "fingerprint": "bb", "on_null": 0.0}],
        "output": {"tensor": "probabilities", "column": 1},
        "golden": {"inputs": [[1, 2.5], [None, 3]], "outputs": [0.25, None]},
    }
    return ManifestDraft.model_validate(base | parts)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry(tmp_path / "registry")
    found.add(draft(), DATA)
    return found


def test_versions_count_up_and_come_back_as_they_were(registry: Registry) -> None:
    second = registry.add(draft(description="better"), DATA + b"!")
    assert (registry.names(), registry.versions("fraud"), second.version) == (["fraud"], [1, 2], 2)
    stored = registry.load("fraud", 2)
    assert (stored.data, stored.manifest) == (DATA + b"!", second)
    assert registry.load("fraud", 1).manifest.description == ""
    assert sorted(p.name for p in (registry.root / "fraud").iterdir()) == ["1", "2"]


def test_a_version_is_never_changed(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.add(draft(), b"other", version=1)
    assert str(caught.value) == (
        f"fraud@1 is already in {registry.root}, and a version is never changed. Leave the version out to add the next one."
    )
    assert registry.load("fraud", 1).data == DATA


def test_writers_at_once_get_different_versions(registry: Registry) -> None:
    threads = [threading.Thread(target=registry.add, args=(draft(), DATA)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.versions("fraud") == list(range(1, 10))
    assert all(registry.load("fraud", v).manifest.version == v for v in range(1, 10))


def test_a_write_that_fails_leaves_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(RegistryError, match="cannot be written: No space left on device"):
        registry.add(draft(), DATA)
    assert [p.name for p in (registry.root / "fraud").iterdir()] == ["1"]


def test_names_that_are_not_there_are_told_with_the_nearest(registry: Registry, tmp_path: Path) -> None:
    expected = {
        ("fraud", 7): f"the registry {registry.root} has no version 7 of fraud. It has 1.",
        ("froud", 1): f"the registry {registry.root} has no model froud (did you mean `fraud`?). It has fraud.",
    }
    for (name, version), text in expected.items():
        with pytest.raises(RegistryError) as caught:
            registry.load(name, version)
        assert str(caught.value) == text
    missing = tmp_path / "nowhere"
    with pytest.raises(RegistryError) as caught:
        Registry(missing).load("fraud", 1)
    assert (
        str(caught.value)
        == f"there is no model registry at {missing}. Train a model into it, or name another with --registry."
    )
    missing.mkdir()
    with pytest.raises(RegistryError, match="has no model fraud. It is empty."):
        Registry(missing).load("fraud", 1)


def test_a_file_that_is_not_the_one_that_was_hashed(registry: Registry) -> None:
    file = registry.root / "fraud" / "1" / "model.onnx"
    file.write_bytes(DATA + b"?")
    with pytest.raises(RegistryError) as caught:
        registry.load("fraud", 1)
    assert str(caught.value).startswith(f"{file} is not the model that its manifest describes: its SHA-256 is ")
    assert str(caught.value).endswith("Restore the file, or publish another version.")


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_version_that_was_copied_in_part(registry: Registry, name: str) -> None:
    (registry.root / "fraud" / "1" / name).unlink()
    with pytest.raises(RegistryError) as caught:
        registry.load("fraud", 1)
    folder = registry.root / "fraud" / "1"
    assert (
        str(caught.value)
        == f"fraud@1 has no {name} in {folder}: it was copied in part. Copy the whole folder, or publish another version."
    )


def test_a_manifest_that_is_none(registry: Registry) -> None:
    file = registry.root / "fraud" / "1" / "manifest.json"
    text = file.read_text()
    told = {
        "{": "the document: Invalid JSON",
        "{}": "name: Field required; kind: Field required; inputs: Field required; and 4 more. Add the model again",
        text.replace('"format": 1', '"format": 2'): "format: Input should be less than or equal to 1",
    }
    for damaged, words in told.items():
        file.write_text(damaged)
        with pytest.raises(RegistryError) as caught:
            registry.load("fraud", 1)
        assert str(caught.value).startswith(f"{file} is no manifest of format 1: {words}")


def test_a_version_that_was_moved(registry: Registry) -> None:
    (registry.root / "fraud" / "1").rename(registry.root / "fraud" / "3")
    with pytest.raises(RegistryError, match="is the manifest of fraud@1, not of fraud@3: a version cannot be moved"):
        registry.load("fraud", 3)


def test_an_oversize_file_is_not_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.registry.LARGEST_MODEL", 5)
    with pytest.raises(RegistryError, match="model.onnx has over 5 bytes, and no more are allowed"):
        registry.load("fraud", 1)
    with pytest.raises(RegistryError, match="the model has 20 bytes, and 5 are allowed"):
        registry.add(draft(), DATA)


def test_references() -> None:
    assert parse_reference("fraud@12") == ("fraud", 12)
    for text in ("fraud", "fraud@", "fraud@0", "fraud@x", "Fraud@1", "../x@1", "fraud@1@2"):
        with pytest.raises(RegistryError) as caught:
            parse_reference(text)
        assert str(caught.value) == f"{text!r} names no version of a model: write NAME@VERSION, for example fraud@3"
