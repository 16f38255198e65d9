"""A job's state in RocksDB: one column family per family of rows, and one for named documents.

Nothing is written between checkpoints. A checkpoint is ONE WriteBatch with sync, so that rows, source positions and
output lengths can never disagree after a crash.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, ReadOptions, WriteBatch, WriteOptions

from operators.store import Changes
from schemas.mendable import MendableError

_DOCUMENTS = "documents"
_BLOCK_CACHE_BYTES = 32 << 20
_WRITE_BUFFER_BYTES = 32 << 20


class StateError(MendableError):
    """The state folder cannot be used; the text says why and what to do."""


_DAMAGED = (
    "Restore the folder from a backup, or start anew with an empty --state and an empty --output: "
    "windows, cooldowns and fuses then begin empty, and the input is read from its beginning."
)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # rocksdict raises plain Exception
        raise StateError(f"the state is damaged ({error}). {_DAMAGED}") from error


class _Family:
    def __init__(self, rows: Rdict) -> None:
        self.rows = rows

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with _readable():
            return list(self.rows[list(keys)] or ()) if keys else []

    def put_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        raise NotImplementedError("rows are written at a checkpoint, together with all else")


class RocksState:
    """`operators.store.State` on a folder. One process at a time may open it for writing; any number may read it."""

    def __init__(self, folder: Path, families: Sequence[str] = (), read_only: bool = False) -> None:
        self.folder = folder
        self._lock = None if read_only else _lock(folder)
        cache = Cache(_BLOCK_CACHE_BYTES)
        names = {*families, _DOCUMENTS}
        try:
            if (folder / "CURRENT").exists():
                names |= {n for n in Rdict.list_cf(str(folder), _options(cache)) if n != "default"}
            elif has_state(folder):
                raise StateError(f"state folder {folder} is damaged: its file CURRENT is gone. {_DAMAGED}")
            elif read_only:
                raise StateError(
                    f"{folder} is not a state folder: it has no CURRENT file. Name the folder that was given to watchgate run as --state."
                )
            access = AccessType.read_only() if read_only else AccessType.read_write()
            self._db = Rdict(
                str(folder),
                _options(cache),
                column_families={n: _options(cache) for n in sorted(names)},
                access_type=access,
            )
        except StateError:
            self._unlock()
            raise
        except Exception as error:  # rocksdict raises plain Exception
            self._unlock()
            if "Corruption" in str(error) or "No such file" in str(error):
                raise StateError(f"state folder {folder} is damaged ({error}). {_DAMAGED}") from error
            raise StateError(
                f"state folder {folder} cannot be opened: {error}. Check that the folder is on a writable disk with free space, or name another one with --state."
            ) from error
        self._families = {n: self._db.get_column_family(n) for n in names}
        self._handles = {n: self._db.get_column_family_handle(n) for n in names}

    def family(self, name: str) -> _Family:
        if name not in self._families:
            if self._lock is None:
                raise StateError(f"state folder {self.folder} holds nothing about {name}")
            self._families[name] = self._db.create_column_family(name, _options(Cache(_BLOCK_CACHE_BYTES)))
            self._handles[name] = self._db.get_column_family_handle(name)
        return _Family(self._families[name])

    def families(self) -> list[str]:
        return sorted(n for n in self._families if n != _DOCUMENTS)

    def scan(self, name: str, after: bytes, most: int) -> Iterator[tuple[bytes, bytes]]:
        with _readable():
            iterator = self._families[name].iter(ReadOptions())
            iterator.seek(after + b"\0" if after else b"")
        while most > 0 and iterator.valid():
            yield iterator.key(), iterator.value()
            iterator.next()
            most -= 1
        with _readable():
            iterator.status()  # an iterator that meets damage only ends

    def document(self, name: str) -> bytes | None:
        with _readable():
            value: bytes | None = self._families[_DOCUMENTS].get(name.encode())
        return value

    def estimate(self, name: str) -> int:
        family = self._families.get(name)  # None when the state was closed in the meantime
        return 0 if family is None else int(family.property_int_value("rocksdb.estimate-num-keys") or 0)

    def commit(self, changes: Changes) -> None:
        batch = WriteBatch(raw_mode=True)
        for name, (keys, values) in changes.rows.items():
            self.family(name)
            handle = self._handles[name]
            put, delete = batch.put, batch.delete
            # In the order of the keys, RocksDB finds the place of each row beside that of the row before: half of what a row costs.
            for row in sorted(range(len(keys)), key=keys.__getitem__):
                value = values[row]
                if value is None:
                    delete(keys[row], handle)
                else:
                    put(keys[row], value, handle)
        for name, document in changes.documents.items():
            batch.put(name.encode(), document, self._handles[_DOCUMENTS])
        durable = WriteOptions()
        durable.sync = True
        try:
            self._db.write(batch, durable)
        except Exception as error:
            raise StateError(
                f"state folder {self.folder} cannot be written: {error}. Nothing of this checkpoint is kept; free space on the disk and run the same command again: it goes on from the checkpoint before."
            ) from error

    def close(self) -> None:
        for database in (*self._families.values(), self._db):
            # Closing flushes, which fails on a full disk; all that was committed is in the synced log already.
            with suppress(Exception):
                database.close()
        # Whoever still holds this object, a traceback for example, must not hold the folder.
        self._families.clear()
        self._handles.clear()
        del self._db
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


def has_state(folder: Path) -> bool:
    """Whether a job has begun a state in a folder, sound or damaged."""
    try:
        return any(file.name == "CURRENT" or file.name.startswith("MANIFEST-") for file in folder.iterdir())
    except OSError:
        return False


def _options(cache: Cache) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    # Reads look into the memtable first: a filter there answers for the keys that are not in it.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.1)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    # Most look-ups of a growing platform are for entities never seen: the filter answers those without a read.
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "watchgate.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unusable(folder, "made", error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise StateError(
            f"state folder {folder} is in use by process {owner or 'unknown'}. Wait for it to end, or name another folder with --state."
        ) from None
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        os.close(handle)
        raise _unusable(folder, "written", error) from error
    return handle


def _unusable(folder: Path, verb: str, error: OSError) -> StateError:
    advice = (
        "Free space on the disk, or name a folder on another one with --state."
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "Name a folder that can be written with --state."
    )
    return StateError(f"state folder {folder} cannot be {verb}: {error.strerror}. {advice}")
