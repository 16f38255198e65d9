"""The files that a policy names beside itself: its lists and the data of its tests."""

from collections.abc import Iterator
from pathlib import Path

from integration.list_files import ListFileError, read_list
from schemas.policy_file import PolicyFile, Problem
from schemas.problem import nearest_file


def file_problems(file: PolicyFile, beside: Path, lists: Path | None) -> list[Problem]:
    """What keeps a run, or the tests of the policy, from reading them. `lists` is the folder of the list files, `beside` that
    of the policy, which has all that no other folder is named for."""
    return [*_of_lists(file, lists or beside), *_of_tests(file, beside)]


def _of_lists(file: PolicyFile, folder: Path) -> Iterator[Problem]:
    for name, spec in file.policy.lists.items():
        if spec.source is None:
            continue
        at, path = ("lists", name, "source"), folder / spec.source
        if not path.exists():
            hint = "make it (one entity a line; it may be empty), or name its folder with --lists"
            yield file.problem(at, f"there is no file {path}, and nothing starts without it", hint=_near(path) or hint)
            continue
        try:
            read_list(path, name, len(file.policy.entities[spec.of].key) or 1)
        except ListFileError as error:
            yield file.problem(at, str(error), hint="mend it: nothing starts without it")


def _of_tests(file: PolicyFile, folder: Path) -> Iterator[Problem]:
    for number, test in enumerate(file.policy.tests):
        for key, name in (("given", test.given), ("labels", test.labels)):
            if name is not None and not (path := folder / name).exists():
                hint = "put it there"
                yield file.problem(
                    ("tests", number, key),
                    f"there is no file {path}, and the test cannot be run without it",
                    hint=_near(path) or hint,
                )


def _near(path: Path) -> str | None:
    """The file that was probably meant, for one that is not there."""
    try:
        near = nearest_file(path.name, [one.name for one in path.parent.iterdir()])
    except OSError:
        return None
    return f"did you mean `{near}`?" if near else None
