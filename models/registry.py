"""The registry: a folder of model versions that never change, NAME/VERSION/{model.onnx, manifest.json}.

A version appears whole or not at all, and is never overwritten, so the folder can be copied to an object store and back
as it is. What is loaded is the bytes that were hashed.
"""

import errno
import os
import secrets
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from operators.scoring import ModelError
from schemas.manifest import FORMAT, Manifest, ManifestDraft
from schemas.problem import BadValueError, did_you_mean
from schemas.words import check_name

MODEL, MANIFEST = "model.onnx", "manifest.json"
LARGEST_MODEL = 256 << 20
"""Bytes of a model file; a larger one is refused before it is read."""
LARGEST_MANIFEST = 16 << 20


class RegistryError(ModelError):
    """A version that cannot be read or written; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version as it was read: `data` are the very bytes whose SHA-256 the manifest names."""

    manifest: Manifest
    data: bytes


class Registry:
    """Reads and adds versions below a folder. Nothing is kept open; any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """The models, sorted. Raises RegistryError where there is no such folder."""
        try:
            return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and _is_name(entry.name))
        except FileNotFoundError:
            raise RegistryError(
                f"there is no model registry at {self.root}. Train a model into it, or name another with --registry."
            ) from None
        except OSError as error:
            raise RegistryError(f"the model registry {self.root} cannot be read: {_reason(error)}") from None

    def versions(self, name: str) -> list[int]:
        """The versions of a model, ascending; none for a model that is not there."""
        if name not in self.names():
            return []
        return sorted(int(entry.name) for entry in (self.root / name).iterdir() if entry.name.isdecimal())

    def manifest(self, name: str, version: int) -> Manifest:
        """The manifest of a version. Raises RegistryError: unknown model or version, a manifest that is none or another's."""
        folder = self._folder(name, version)
        data = self._read(folder / MANIFEST, LARGEST_MANIFEST, f"{name}@{version}")
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            raise RegistryError(
                f"{folder / MANIFEST} is no manifest of format {FORMAT}: {_told(error)}. Add the model again; a version is never edited."
            ) from None
        if (manifest.name, manifest.version) != (name, version):
            raise RegistryError(
                f"{folder / MANIFEST} is the manifest of {manifest.name}@{manifest.version}, not of {name}@{version}: a version cannot be moved. Add the model again under its new name."
            )
        return manifest

    def load(self, name: str, version: int) -> StoredModel:
        """A version with its model, read once and hashed. Raises RegistryError as `manifest`, and for a wrong digest."""
        manifest = self.manifest(name, version)
        file = self._folder(name, version) / MODEL
        data = self._read(file, LARGEST_MODEL, f"{name}@{version}")
        found = sha256(data).hexdigest()
        if found != manifest.sha256:
            raise RegistryError(
                f"{file} is not the model that its manifest describes: its SHA-256 is {found[:12]}..., the manifest says {manifest.sha256[:12]}.... Restore the file, or publish another version."
            )
        return StoredModel(manifest, data)

    def add(self, draft: ManifestDraft, data: bytes, version: int | None = None) -> Manifest:
        """Stores a model under the next free version (or `version`, if it is free) and returns its manifest.

        The folder is written beside, made durable, and renamed: readers see all of it or nothing.
        """
        if len(data) > LARGEST_MODEL:
            raise RegistryError(f"the model has {len(data):,} bytes, and {LARGEST_MODEL:,} are allowed")
        folder = self.root / draft.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = version or max(self.versions(draft.name), default=0) + 1
            while True:
                manifest = Manifest(**dict(draft), version=number, sha256=sha256(data).hexdigest())
                if self._put(folder, manifest, data):
                    return manifest
                if version is not None:
                    raise RegistryError(
                        f"{draft.name}@{version} is already in {self.root}, and a version is never changed. Leave the version out to add the next one."
                    )
                number += 1  # somebody else took it in between
        except OSError as error:
            raise RegistryError(f"the model registry {self.root} cannot be written: {_reason(error)}") from None

    def _put(self, folder: Path, manifest: Manifest, data: bytes) -> bool:
        """False where the version is taken."""
        if (folder / str(manifest.version)).exists():
            return False
        draft = folder / f".{manifest.version}.{secrets.token_hex(4)}.tmp"
        draft.mkdir()
        try:
            _write(draft / MODEL, data)
            _write(draft / MANIFEST, manifest.model_dump_json(indent=1).encode() + b"\n")
            _sync(draft)
            draft.rename(folder / str(manifest.version))
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for parent in (folder, self.root):
            _sync(parent)
        return True

    def _folder(self, name: str, version: int) -> Path:
        versions = self.versions(name)
        if not versions:
            names = self.names()
            has = f"It has {', '.join(names)}" if names else "It is empty"
            hint = did_you_mean(name, names)
            raise RegistryError(f"the registry {self.root} has no model {name}{f' ({hint})' if hint else ''}. {has}.")
        if version not in versions:
            raise RegistryError(
                f"the registry {self.root} has no version {version} of {name}. It has {', '.join(map(str, versions))}."
            )
        return self.root / name / str(version)

    def _read(self, file: Path, largest: int, which: str) -> bytes:
        try:
            with file.open("rb") as stream:
                data = stream.read(largest + 1)
        except FileNotFoundError:
            raise RegistryError(
                f"{which} has no {file.name} in {file.parent}: it was copied in part. Copy the whole folder, or publish another version."
            ) from None
        except OSError as error:
            raise RegistryError(f"{file} cannot be read: {_reason(error)}") from None
        if len(data) > largest:
            raise RegistryError(f"{file} has over {largest:,} bytes, and no more are allowed")
        return data


def parse_reference(text: str) -> tuple[str, int]:
    """Name and version of `NAME@VERSION`. Raises RegistryError.

    >>> parse_reference("fraud@3")
    ('fraud', 3)
    """
    name, _, version = text.partition("@")
    if not _is_name(name) or not version.isdecimal() or int(version) < 1:
        raise RegistryError(f"{text!r} names no version of a model: write NAME@VERSION, for example fraud@3")
    return name, int(version)


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except BadValueError:
        return False


def _write(file: Path, data: bytes) -> None:
    with file.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _told(error: ValidationError) -> str:
    """The first complaints, without the values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'the document'}: {one['msg']}" for one in found]
    return "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")
