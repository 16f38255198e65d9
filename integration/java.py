"""The Java that runs Kafka and Flink: where it is, and whether its version will do."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from schemas.mendable import MendableError

SUPPORTED = (17, 21)
"""Flink 2.3 takes 11, 17 and 21, Kafka 4 takes 17 and later: these are what both take."""


class JavaError(MendableError):
    """No Java that will do; the text says what was found and what to install."""


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: `home` is what JAVA_HOME should be, `version` the major version."""

    home: Path
    version: int

    @property
    def executable(self) -> Path:
        return self.home / "bin" / "java"


def find_java() -> Java:
    """The Java of JAVA_HOME, else the one on PATH. Raises JavaError when there is none or it is not supported."""
    executable = _executable()
    try:
        answer = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaError(f"{executable} does not run: {error}. {_INSTALL}") from None
    version = _major(answer.stderr + answer.stdout)
    if version not in SUPPORTED:
        found = f"version {version}" if version else "of an unknown version"
        raise JavaError(
            f"{executable} is {found}; Kafka and Flink need Java {SUPPORTED[0]} or {SUPPORTED[1]}. {_INSTALL}"
        )
    return Java(executable.parent.parent, version)


_INSTALL = (
    "Install one (Debian: apt install openjdk-17-jre-headless, macOS: brew install openjdk@17), or set JAVA_HOME to it."
)


def _executable() -> Path:
    home = os.environ.get("JAVA_HOME")
    if home:
        executable = Path(home) / "bin" / "java"
        if not executable.exists():
            raise JavaError(f"JAVA_HOME is {home}, but there is no bin/java in it. {_INSTALL}")
        return executable
    found = shutil.which("java")
    if found is None:
        raise JavaError(f"no Java: JAVA_HOME is not set and there is no java on PATH. {_INSTALL}")
    return Path(found).resolve()


def _major(text: str) -> int | None:
    """
    >>> _major('openjdk version "17.0.15" 2025-04-15'), _major('java version "1.8.0_402"'), _major("?")
    (17, 8, None)
    """
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None
