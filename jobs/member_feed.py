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
from operators.documents import status
from operators.keys import bytes_of
from operators.members import Members
from operators.plan import Program
from operators.store import Changes, State
from schemas.members import MemberError, parse_member, unknown_list

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
        self._refused: set[str] = set()
        self._coming = b""
        if position is None:
            return
        if position["topic"] != topic.ident:
            raise EngineError(
                "the state follows another lists topic, or this one was deleted and made again: who is on a list would "
                "be a mixture of both. Name the topic of this state with --lists, or start with an empty --state."
            )
        self._written = _stored(state)
        coming = orjson.loads(state.document(_COMING) or b"[]")
        self.members.restore(
            dict(self._written), [(at, name, b64decode(key), until) for at, name, key, until in coming]
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
        notices = []
        for record in records:
            at_ms = record.timestamp if clock_ms is None else max(record.timestamp, clock_ms + 1)
            try:
                found = parse_member(record.key, record.value)
                spec = self._program.policy.lists.get(found.list)
                if spec is None:
                    raise MemberError(unknown_list(found.list, list(self._program.policy.lists)))
                kind = self._program.kinds[spec.of]
                key = bytes_of(found.entity.split("|") if len(kind.key) > 1 else [found.entity], kind)
            except (MemberError, ValueError) as error:
                # One record of a kind is enough to know: a file of them must not flood the status topic.
                if str(error) not in self._refused:
                    self._refused.add(str(error))
                    notices.append(self._rejected(record, str(error), clock_ms))
                continue
            member = found.member
            self.members.offer(at_ms, found.list, key, member.until if member else None, member is not None)
        return notices

    def _rejected(self, record: Any, why: str, clock_ms: int | None) -> Document:
        place: Document = {"name": record.topic, "partition": record.partition, "offset": record.offset}
        message = f"record {record.offset} of {record.topic}, partition {record.partition}, was rejected: {why}"
        return status("list_rejected", record.topic, message, at_ms=clock_ms, detail={"reason": why, "source": place})


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
