"""The jars that pom.xml pins: fetched once by Maven, checked by sha256 at each use, no network after that.

They lie in a cache folder named after the pinned versions, so that an upgrade never meets the jars of before:
`$WATCHGATE_JARS`, else `$XDG_CACHE_HOME/watchgate/jars/<sum of jars.sha256>`. A machine without network takes a copy
of that folder from one that has it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from schemas.mendable import MendableError

POM = Path(__file__).with_name("pom.xml")
SUMS = Path(__file__).with_name("jars.sha256")
_CONNECTOR = "flink-sql-connector-kafka-"
_TIMEOUT_S = 900


class JarsError(MendableError):
    """The jars cannot be had or are not what was pinned; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Jars:
    """The jars of a folder, all present and checked."""

    folder: Path
    names: tuple[str, ...]

    @property
    def connector(self) -> Path:
        """Flink's Kafka connector: what the job needs."""
        return next(self.folder / name for name in self.names if name.startswith(_CONNECTOR))

    @property
    def broker_classpath(self) -> str:
        """Everything that a Kafka broker needs, as a Java class path."""
        return os.pathsep.join(str(self.folder / name) for name in self.names if not name.startswith(_CONNECTOR))


def jars_folder() -> Path:
    """Where the jars are or will be."""
    chosen = os.environ.get("WATCHGATE_JARS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "watchgate" / "jars" / hashlib.sha256(SUMS.read_bytes()).hexdigest()[:12]


def pinned() -> dict[str, str]:
    """File name -> sha256 of every jar, as committed."""
    return {name: digest for digest, name in (line.split() for line in SUMS.read_text().splitlines())}


def resolve_jars() -> Jars:
    """The jars, from the cache folder or fetched into it by Maven; about 0.1 s when they are there.

    Raises JarsError: no Maven, no network, a jar that is not the pinned one.
    """
    folder = jars_folder()
    sums = pinned()
    missing = [name for name in sums if not (folder / name).is_file()]
    if missing:
        _fetch(folder, missing)
    _check(folder, sums)
    return Jars(folder, tuple(sums))


def cached_jars() -> Jars | None:
    """The jars when all of them are in the cache and right, None when some have to be fetched. Never uses the network.

    Raises JarsError for a jar that is there and is not the pinned one.
    """
    folder = jars_folder()
    sums = pinned()
    if not all((folder / name).is_file() for name in sums):
        return None
    _check(folder, sums)
    return Jars(folder, tuple(sums))


def find_maven() -> str:
    """The mvn on PATH. Raises JarsError."""
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsError(
            "no Maven: there is no mvn on PATH, and it is needed once to fetch the Kafka and Flink connector jars. "
            "Install it (Debian: apt install maven, macOS: brew install maven), or copy the jars from a machine that "
            f"has them to {jars_folder()} (WATCHGATE_JARS names another folder)."
        )
    return maven


def _fetch(folder: Path, missing: list[str]) -> None:
    maven = find_maven()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as scratch:
            _run_maven(maven, Path(scratch))
            absent = [name for name in missing if not (Path(scratch) / name).is_file()]
            if absent:
                raise JarsError(
                    f"Maven fetched no {absent[0]}: integration/pom.xml and integration/jars.sha256 name different "
                    "versions. Take both from one release."
                )
            _check(Path(scratch), {name: pinned()[name] for name in missing})
            for name in missing:  # by rename, so that a jar in the cache is always whole
                (Path(scratch) / name).replace(folder / name)
    except OSError as error:
        raise JarsError(
            f"the jar cache {folder} cannot be written: {error.strerror}. Name another folder with WATCHGATE_JARS."
        ) from None


def _run_maven(maven: str, target: Path) -> None:
    # POM is read where it is installed, which may be a folder that cannot be written: Maven writes to `target` only.
    command = [maven, "--batch-mode", "--file", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise JarsError(
            f"Maven did not finish within {_TIMEOUT_S // 60} minutes. Run it yourself: {' '.join(command)}"
        ) from None
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if "ERROR" in line]
        first = "\n  ".join(errors[:3]) or "it said nothing"
        raise JarsError(
            f"Maven could not fetch the jars:\n  {first}\nIs repo.maven.apache.org reachable? A mirror or a proxy "
            "belongs in ~/.m2/settings.xml. On a machine without network, copy the jars of another one to "
            f"{jars_folder()}."
        )


def _check(folder: Path, sums: dict[str, str]) -> None:
    for name, digest in sums.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise JarsError(
                f"{folder / name} is not the jar that was pinned: its sha256 is {found}, integration/jars.sha256 says "
                f"{digest}. If the download broke, remove the file and try again; if it comes again, do not use it."
            )


def _sums(jars: Iterable[Path]) -> str:
    """The text of jars.sha256 for these files."""
    return "".join(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(jars))


if __name__ == "__main__":
    if sys.argv[1:] == ["sums"]:
        # After a change of pom.xml: python -m integration.jars sums > sums && mv sums integration/jars.sha256
        with tempfile.TemporaryDirectory() as scratch:
            _run_maven(find_maven(), Path(scratch))
            print(_sums(Path(scratch).glob("*.jar")), end="")
    elif sys.argv[1:] == ["connector"]:
        print(resolve_jars().connector)
    else:
        sys.exit("usage: python -m integration.jars sums | connector")
