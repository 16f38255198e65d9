"""Inputs that are files: JSON lines, CSV, parquet, a folder of them merged by time, or standard input.

source = open_source("events.jsonl")
while (chunk := source.read(16_384)) is not None:
    ...                              # decode chunk.records or chunk.table
    save(source.position())          # seek() to it after a restart
"""

import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from integration.sources.chunk import Chunk, FileSource, Source, SourceError, TimeOf
from integration.sources.columnar import ParquetFile
from integration.sources.delimited import DelimitedFile
from integration.sources.folder import FolderSource
from integration.sources.lines import FollowedFile, LineSource, StandardInput, unfinished_text
from schemas.problem import nearest_file

__all__ = ["Chunk", "FileSource", "Source", "SourceError", "TimeOf", "open_source", "skipped_files", "unfinished_text"]

KINDS = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
_TAKEN = ".jsonl, .jsonl.gz, .csv, .parquet, a folder of them, or - for standard input"


def open_source(
    path: str,
    follow: bool = False,
    time_of: TimeOf | None = None,
    horizon_ms: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Source:
    """The source at `path`: a file, a folder, or `-`.

    `follow` (one .jsonl file only) waits for lines that are appended. A folder needs `time_of` to merge its files, and
    takes `horizon_ms`, after which no event is believed. Raises SourceError if there is nothing that can be read.
    """
    if path == "-":
        return StandardInput()
    if "://" in path:
        raise SourceError(f"{path} is an address, and this reads files: {_TAKEN}. `watchgate run` reads kafka:// too")
    where = Path(path)
    try:
        if follow and (where.is_dir() or (where.exists() and _kind(where) != ".jsonl")):
            raise SourceError(f"{path} cannot be followed: only a .jsonl file or standard input can be")
        if where.is_dir():
            return _open_folder(where, time_of, horizon_ms)
        return _open_file(where, follow, sleep)
    except FileNotFoundError:
        raise SourceError(_missing(where)) from None
    except PermissionError:
        raise SourceError(_denied(where)) from None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}; check the path and the disk") from None


def skipped_files(folder: str) -> list[str]:
    """Names of the files of a folder that `open_source` leaves out: of another kind, or hidden."""
    return sorted(p.name for p in Path(folder).iterdir() if p.is_file() and not _is_input(p))


def _open_file(path: Path, follow: bool, sleep: Callable[[float], None]) -> FileSource:
    path.stat()
    match _kind(path):
        case ".jsonl" if follow:
            return FollowedFile(path, path.open("rb", buffering=0), sleep)
        case ".jsonl":
            return LineSource(path.name, str(path), path.open("rb", buffering=0), grows=True)
        case ".jsonl.gz":
            return LineSource(path.name, str(path), gzip.GzipFile(path))
        case ".csv":
            return DelimitedFile(path)
        case ".parquet":
            with path.open("rb"):
                pass  # a permission error reads better from here than from the parquet library
            return ParquetFile(path)
    ending = "".join(path.suffixes[-2:]) or "no ending"
    raise SourceError(f"cannot tell what {path} is ({ending}); watchgate takes {_TAKEN}")


def _open_folder(path: Path, time_of: TimeOf | None, horizon_ms: int | None) -> Source:
    files = sorted(p for p in path.iterdir() if p.is_file() and _is_input(p))
    if not files:
        raise SourceError(f"the folder {path} holds no input: no file in it ends in {', '.join(KINDS)}")
    unreadable = [p for p in files if not os.access(p, os.R_OK)]
    if unreadable:
        raise SourceError(
            f"cannot read {unreadable[0]}: permission denied; give read permission to the user that runs watchgate"
        )
    opened = [_open_file(p, False, time.sleep) for p in files]
    return FolderSource(str(path), opened, time_of or _unordered, horizon_ms)


def _unordered(chunk: Chunk) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.full(len(chunk), np.iinfo(np.int64).min, dtype=np.int64)


def _is_input(path: Path) -> bool:
    return _kind(path) is not None and not path.name.startswith(".")


def _kind(path: Path) -> str | None:
    return next((kind for kind in KINDS if path.name.lower().endswith(kind)), None)


def _denied(path: Path) -> str:
    closed = next((folder for folder in reversed(path.parents) if not os.access(folder, os.X_OK)), None)
    if closed is not None:
        return (
            f"cannot read {path}: permission denied to the folder {closed}; "
            "give permission to read and to enter it to the user that runs watchgate"
        )
    what = "read the folder" if path.is_dir() else "read"
    return f"cannot {what} {path}: permission denied; give read permission to the user that runs watchgate"


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no file {path}, and no folder {folder}; check the path"
    try:
        names = sorted(file.name for file in folder.iterdir())
    except OSError:
        names = []
    near = nearest_file(path.name, names)
    if near:
        return f"there is no file {path}; did you mean {folder / near}?"
    place = "this folder" if folder == Path() else folder
    takes = [name for name in names if name.endswith(KINDS)]
    there = (
        f"{place} has {', '.join(takes[:5])}{', ...' if len(takes) > 5 else ''}" if takes else f"{place} has no input"
    )
    return f"there is no file {path}, and no name like it: {there}; check the name"
