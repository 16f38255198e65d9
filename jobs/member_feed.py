"""The lists topic in the embedded runtime: read before the first event, followed, and kept in the state.

A member counts from the time at which the broker took its record. An entity is on a list when the topic or the policy's
list file says so.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import orjson

from integration.kafka.following import FollowedTopic
from jobs.engine import Document, EngineError
from jobs.member_record import Refusals, read_entry
from operators.members import Members
from operators.plan import Program
from operators.store import Changes, State
from schemas.members import MemberError

FAMILY = "members"
_COMING = "members_coming"
_PAGE = 65_536


class MemberFeed:
    """Reads records into `members`, and writes what changed with each checkpoint. `position` is where reading stands."""

    def __init__(self, program: Program, state: State, topic: FollowedTopic, position: dict[str, Any] | None) -> None:
        """`position`: of an earlier run of this state. Raises EngineError for another topic than its."""
        self.members = Members()
        self._program = program
        self._topic = topic
        self._refusals = Refusals()
        self._coming = b""
        if position is None:
            return
        if position["topic"] != topic.ident:
            raise EngineError(
                "the state follows another lists topic, or this one was deleted and made again: who is on a list would "
                "be a mixture of both. Name the topic of this state with --lists, or start with an empty --state."
            )
        lists = program.policy.lists  # a list that the policy has no more keeps its rows, and nobody is told of it
        coming = orjson.loads(state.document(_COMING) or b"[]")
        self.members.restore(
            {(name, key): until for (name, key), until in _stored(state).items() if name in lists},
            [(at, name, b64decode(key), until) for at, name, key, until in coming if name in lists],
        )
        self._topic.seek({int(n): offset for n, offset in position["offsets"].items()})

    @property
    def position(self) -> dict[str, Any]:
        offsets = {str(n): offset for n, offset in sorted(self._topic.offsets.items())}
        return {"topic": self._topic.ident, "offsets": offsets}

    def by_list(self) -> dict[str, set[bytes]]:
        """Who is on each list by the topic."""
        found: dict[str, set[bytes]] = {}
        for name, key in self.members.now:
            found.setdefault(name, set()).add(key)
        return found

    def read_to_end(self, clock_ms: int | None) -> list[Document]:
        """Takes all that the topic holds now; status documents about records that are refused."""
        return self._take(self._topic.read_to_end(), clock_ms)

    def read_new(self, clock_ms: int | None) -> list[Document]:
        return self._take(self._topic.read_new(), clock_ms)

    def add_changes(self, changes: Changes) -> None:
        """Adds what changed since the last checkpoint; O(changes)."""
        now = self.members.now
        changed = self.members.take_changed()
        values = [now[key].to_bytes(8, "big") if key in now else None for key in changed]
        changes.rows[FAMILY] = ([_row(*key) for key in changed], values)
        coming = orjson.dumps(
            [(at, name, b64encode(key).decode(), until) for at, name, key, until in self.members.coming()]
        )
        if coming != self._coming:  # a long list that waits for its time is not written again and again
            changes.documents[_COMING] = self._coming = coming

    def _take(self, records: Sequence[Any], clock_ms: int | None) -> list[Document]:
        notices: list[Document] = []
        for record in records:
            at_ms = record.timestamp if clock_ms is None else max(record.timestamp, clock_ms + 1)
            try:
                entry = read_entry(self._program, record.key, record.value)
            except MemberError as error:
                notices += self._refusals.of(record.topic, record.partition, record.offset, str(error), clock_ms)
                continue
            self.members.offer(at_ms, entry.list, entry.key, entry.until_ms, entry.on)
        return notices


def refuse_members(saved: object) -> None:
    """Raises EngineError when a state with members of a topic is run without one: protection would be lost silently."""
    if saved is not None:
        raise EngineError(
            "the state follows a lists topic, and none is given: its entities would stay on their lists for ever. Give "
            "it with --lists kafka://HOST:PORT/TOPIC, or start with an empty --state."
        )


def _row(name: str, key: bytes) -> bytes:
    return name.encode() + b"\0" + key


def _stored(state: State) -> dict[tuple[str, bytes], int]:
    found: dict[tuple[str, bytes], int] = {}
    after = b""
    while True:
        page = list(state.scan(FAMILY, after, _PAGE))
        for row, until in page:
            name, _, key = row.partition(b"\0")
            found[name.decode(), key] = int.from_bytes(until, "big")
        if len(page) < _PAGE:
            return found
        after = page[-1][0]
