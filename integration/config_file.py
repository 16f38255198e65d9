"""The config log as a file: one JSON record a line, appended and never changed, so that it is the audit log as well.

The first line names the timeline: `{"timeline": "..."}`. Epochs carry that name, and a state that has seen one timeline refuses another.
"""

import errno
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import orjson

from integration.config_log import ConfigLine
from operators.hashing import hash_bytes
from schemas.mendable import MendableError

_LONGEST_FIRST = 1 << 20
"""Bytes of a first line that are looked at: a policy record may be long."""


class ConfigFileError(MendableError):
    """The config file cannot be read or written; the text says why and what to do."""


class ConfigFile:
    """Reads records as they are appended. `offset` is how far it has read, in bytes."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        try:
            with path.open("rb") as file:
                first = file.readline()
        except FileNotFoundError:
            raise ConfigFileError(
                f"config file {path} does not exist. Make it with: watchgate mode set RULE shadow --config {path} --reason TEXT, or leave --config out to run with the modes that the policy writes."
            ) from None
        except OSError as error:
            raise ConfigFileError(f"config file {path} cannot be read: {error.strerror}") from error
        if first.strip() and not _is_record(first):
            raise ConfigFileError(
                f"{path} is not a config log: its first line is no JSON record. Name the log with --config; a new one is made by: watchgate mode set RULE shadow --config LOG --reason TEXT"
            )
        if not first.strip():
            raise ConfigFileError(
                f"config file {path} begins with no record, so its timeline has no name. Remove it, and make it with: watchgate mode set RULE shadow --config {path} --reason TEXT"
            )
        self.timeline = _timeline(first)

    def read_to_end(self) -> list[ConfigLine]:
        return self.read_new()

    def read_new(self) -> list[ConfigLine]:
        """The complete lines after `offset`, without blank ones and without the line that names the timeline."""
        try:
            if self.path.stat().st_size == self.offset:
                return []
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:
                    raise ConfigFileError(
                        f"config file {self.path} is shorter than when it was last read: a config log only grows. Restore it, or start with an empty --state."
                    )
                start = self.offset
                file.seek(start)
                data = file.read()
        except OSError as error:
            raise ConfigFileError(f"config file {self.path} cannot be read: {error.strerror}") from error
        whole = data[: data.rfind(b"\n") + 1]
        self.offset = start + len(whole)
        lines = [line.strip() for line in whole.split(b"\n")]
        if start == 0 and _names_timeline(lines[0]):
            lines = lines[1:]
        return [ConfigLine(line) for line in lines if line]

    def close(self) -> None:
        pass


def append(path: Path, record: Mapping[str, object]) -> None:
    """Adds a record in one durable write, and names the timeline first when the file is new."""
    try:
        if not path.parent.exists():
            raise ConfigFileError(
                f"config file {path} cannot be written: there is no folder {path.parent}. Nothing was recorded. Check "
                "--config, or make the folder."
            )
        handle = _locked(path)
        try:
            size = os.fstat(handle).st_size
            if size and not _is_record(os.pread(handle, _LONGEST_FIRST, 0).split(b"\n")[0]):
                raise ConfigFileError(
                    f"{path} is not a config log: its first line is no JSON record. Nothing was written; name the log with --config."
                )
            data = orjson.dumps(record) + b"\n"
            if size == 0:
                data = orjson.dumps({"timeline": uuid4().hex[:12]}) + b"\n" + data
            elif os.pread(handle, 1, size - 1) != b"\n":
                data = b"\n" + data  # a line that somebody left open must not swallow this one
            try:
                _write(handle, data)
            except OSError:
                os.ftruncate(handle, size)
                if not size:
                    path.unlink()  # a log without its first line has no name, and no job would take it
                raise
        finally:
            os.close(handle)
    except OSError as error:
        advice = (
            "Free space on the disk and say it again"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Name a file that can be written with --config"
        )
        raise ConfigFileError(
            f"config file {path} cannot be written: {error.strerror}. Nothing was recorded. {advice}."
        ) from error


def _locked(path: Path) -> int:
    """The log, open and ours alone; a log that another writer failed to begin, and so removed, is made again."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def _is_record(line: bytes) -> bool:
    """Whether it can be the first line of a log: the timeline's name, or a record written by hand."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and ("timeline" in document or "key" in document)


def _names_timeline(line: bytes) -> bool:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and set(document) == {"timeline"} and isinstance(document["timeline"], str)


def _timeline(first: bytes) -> str:
    if _names_timeline(first):
        name: str = orjson.loads(first)["timeline"]
        return name
    # A file written by hand: its first record is what tells it from another.
    return f"{hash_bytes(first.strip()):016x}"[:12]
