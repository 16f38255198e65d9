"""Lists from files into the bits of entity rows, and out again when an entity was taken off since the last run."""

from pathlib import Path

import orjson

from integration.list_files import read_list
from jobs.engine import Document, Engine
from operators.documents import status
from operators.keys import bytes_of
from operators.plan import Program
from operators.store import Changes, State
from schemas.counted import counted

_PAGE = 65_536


Members = dict[str, set[bytes]]
"""By list: the keys of its entities."""


def read_lists(program: Program, folder: Path) -> Members:
    """The lists of a policy from their files. Raises ListFileError."""
    members = {}
    for name, spec in program.policy.lists.items():
        kind = program.kinds[spec.of]
        entities = [] if spec.source is None else read_list(folder / spec.source, name, len(kind.key) or 1)
        members[name] = {bytes_of(parts, kind) for parts in entities}
    return members


class EntityLists:
    """What was on each list is kept in the state, so that a changed file costs its difference only."""

    def __init__(self, program: Program, state: State, members: Members) -> None:
        self._program = program
        self._state = state
        self._members = members
        self._standing = _standing(program, state)
        self.also: dict[str, set[bytes]] = {}
        """By list: keys that are on it whatever the files say."""
        self._keys: list[bytes] = []
        self._values: list[bytes | None] = []

    def load(self, engine: Engine) -> list[Document]:
        """Brings the rows in step with the files; one status document per list that changed. O(entities listed)."""
        notices = []
        for name, now in self._members.items():
            before = self._stored(name)
            # Rows that moved to a layout without the list have lost its bit: all of it is marked again.
            add, remove = sorted(now - before if name in self._standing else now), sorted(before - now)
            observer = engine.observers[self._program.policy.lists[name].of]
            if name not in self._standing:
                observer.mark_list(name, sorted(self.also.get(name, ())))
            if not add and not remove:
                continue
            observer.mark_list(name, add, sorted(set(remove) - self.also.get(name, set())))
            prefix = name.encode() + b"\0"
            self._keys += [prefix + key for key in (*add, *remove)]
            self._values += [b"1"] * len(add) + [None] * len(remove)
            detail: Document = {"entities": len(now), "added": len(add), "removed": len(remove)}
            notices.append(
                status(
                    "lists_loaded",
                    name,
                    f"list {name} holds {counted(len(now), 'entity', 'entities')}: {len(add)} added, {len(remove)} removed",
                    at_ms=engine.clock,
                    detail=detail,
                )
            )
        return notices

    def holds(self, name: str, key: bytes) -> bool:
        """Whether the file of a list names an entity."""
        return key in self._members[name]

    def add_changes(self, changes: Changes) -> None:
        changes.rows["lists"] = (self._keys, self._values)
        self._keys, self._values = [], []

    def _stored(self, name: str) -> set[bytes]:
        prefix = name.encode() + b"\0"
        found: set[bytes] = set()
        after = prefix
        while True:
            page = [key for key, _ in self._state.scan("lists", after, _PAGE) if key.startswith(prefix)]
            found.update(key[len(prefix) :] for key in page)
            if len(page) < _PAGE:
                return found
            after = page[-1]


def _standing(program: Program, state: State) -> set[str]:
    """The lists that the policy of the last checkpoint had, for the same entities."""
    before = orjson.loads(state.document("policy") or b"{}")
    lists, entities = before.get("lists", {}), before.get("entities", {})
    now = orjson.loads(orjson.dumps(program.policy.model_dump(mode="json", exclude_defaults=True)))
    return {
        name
        for name, spec in now.get("lists", {}).items()
        if name in lists and lists[name]["of"] == spec["of"] and entities[spec["of"]] == now["entities"][spec["of"]]
    }
