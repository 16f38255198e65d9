"""The six output files of the embedded runtime, cut back to what was committed when a run goes on after a crash."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from schemas.mendable import MendableError

TOPICS = ("verdicts", "verdicts.shadow", "enforcement", "enforcement.shadow", "deadletter", "status")


class OutputError(MendableError):
    """An output file cannot be written or does not fit the state; the text says why and what to do."""


def check_place(folder: Path, fresh: bool) -> None:
    """Raises OutputError where outputs cannot go into `folder`; makes nothing. `fresh`: there is no state yet."""
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    closed = not os.access(there, os.X_OK) or (
        not os.access(there, os.W_OK) and not (there == folder and all(_path(folder, t).exists() for t in TOPICS))
    )
    if there.is_dir() and not closed:
        if fresh:
            _check(folder, None)
        return
    if there.is_dir():
        what = f"the user that runs watchgate may not write in {there}"
    else:
        what = "it is a file" if there == folder else f"{there} is a file"
    raise OutputError(
        f"output folder {folder} cannot be made or written: {what}. Name a folder that can be written with --output."
    )


class FileOutputs:
    """One line of JSON per record and file. `sync` makes all that was written durable and gives the lengths to commit."""

    def __init__(self, folder: Path, committed: Mapping[str, int] | None) -> None:
        """Opens the files. `committed`: lengths from the state; None when this state never wrote here.

        Bytes after the committed length are of a run that died before its checkpoint: the same records come again.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _check(folder, committed)
            self._files = {topic: os.open(self.path(topic), os.O_WRONLY | os.O_CREAT, 0o644) for topic in TOPICS}
        except OSError as error:
            raise OutputError(
                f"output folder {folder} cannot be written: {error.strerror}. Name a folder that can be written with --output."
            ) from error
        self.lengths = {topic: (committed or {}).get(topic, 0) for topic in TOPICS}
        for topic, handle in self._files.items():
            os.ftruncate(handle, self.lengths[topic])
            os.lseek(handle, self.lengths[topic], os.SEEK_SET)
        self._unsynced: set[str] = set()

    def path(self, topic: str) -> Path:
        return _path(self.folder, topic)

    def write(self, topic: str, documents: Sequence[object]) -> None:
        """Appends documents; O(bytes), one system call."""
        if not documents:
            return
        data = b"\n".join([orjson.dumps(d) for d in documents]) + b"\n"
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._files[topic], view) :]
        except OSError as error:
            raise OutputError(
                f"{self.path(topic)} cannot be written: {error.strerror}. Nothing after the last checkpoint is kept; free space on the disk and run the same command again: it goes on from there."
            ) from error
        self.lengths[topic] += len(data)
        self._unsynced.add(topic)

    def sync(self) -> dict[str, int]:
        for topic in sorted(self._unsynced):
            try:
                os.fsync(self._files[topic])
            except OSError as error:
                raise OutputError(
                    f"{self.path(topic)} cannot be made durable: {error.strerror}. Check the disk and run the same command again: it goes on from the last checkpoint."
                ) from error
        self._unsynced.clear()
        return dict(self.lengths)

    def close(self) -> None:
        for handle in self._files.values():
            os.close(handle)


def _path(folder: Path, topic: str) -> Path:
    return folder / f"{topic}.jsonl"


def _check(folder: Path, committed: Mapping[str, int] | None) -> None:
    for topic in TOPICS:
        path = _path(folder, topic)
        length = path.stat().st_size if path.exists() else 0
        if committed is None and length:
            raise OutputError(
                f"{path} already holds the output of another run. Name an empty folder with --output, or the state folder of that run with --state to go on with it."
            )
        if committed is not None and length < committed.get(topic, 0):
            raise OutputError(
                f"{path} has {length} bytes, but {committed[topic]} were committed: it was changed or removed since. Restore it, or start anew with an empty --output and an empty --state."
            )
