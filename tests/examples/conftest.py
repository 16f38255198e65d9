"""Examples and benchmarks are scripts: tests load them by path and run the command line as a user does."""

import importlib.util
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Loads a script by its path below the repository; it may import what lies beside it."""

    def by_path(path: str) -> ModuleType:
        file = ROOT / path
        spec = importlib.util.spec_from_file_location(path.removesuffix(".py").replace("/", "_"), file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, str(file.parent))
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(file.parent))
        return module

    return by_path


@pytest.fixture(scope="session")
def watchgate() -> Callable[..., str]:
    """Runs the command line in a process of its own; returns what it printed."""

    def run(*arguments: object, status: int = 0) -> str:
        command = [sys.executable, "-c", "from jobs.cli import main; main()", *map(str, arguments)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout

    return run


@pytest.fixture(scope="session")
def fired() -> Callable[[Path], dict[str, set[str]]]:
    """Ids of the events for which each rule fired, whatever its mode, from the files of a run."""

    def of(output: Path) -> dict[str, set[str]]:
        events: dict[str, set[str]] = defaultdict(set)
        for name in ("verdicts.jsonl", "verdicts.shadow.jsonl"):
            for line in (output / name).open("rb"):
                verdict = json.loads(line)
                for rule in verdict["rules"]:
                    events[rule["rule"]].add(verdict["event_id"])
        return dict(events)

    return of


@pytest.fixture(scope="session")
def readme_table() -> Callable[[Path], dict[str, tuple[int, float, float]]]:
    """(hits, precision, recall) by rule, as the README of an example claims."""

    def of(readme: Path) -> dict[str, tuple[int, float, float]]:
        row = re.compile(r"^\| (\w+) \| [^|]+ \| ([\d,]+) \| (\d\.\d\d) \| (\d\.\d\d) \|$", re.MULTILINE)
        found = row.findall(readme.read_text(encoding="utf-8"))
        return {
            rule: (int(hits.replace(",", "")), float(precision), float(recall))
            for rule, hits, precision, recall in found
        }

    return of
