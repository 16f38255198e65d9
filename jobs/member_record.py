"""A record of the lists topic in terms of a policy: which list of it, and which entity."""

from collections.abc import Iterator
from dataclasses import dataclass

from operators.documents import Json, status
from operators.keys import bytes_of
from operators.plan import Program
from schemas.members import MemberError, parse_member, unknown_list


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """What one record says. `kind` is the list's entity kind, `until_ms` None: it stays, `on` False: off the list."""

    list: str
    kind: str
    key: bytes
    until_ms: int | None
    on: bool


def read_entry(program: Program, key: bytes | None, value: bytes | None) -> MemberEntry:
    """Raises MemberError for a record that is not taken, with what is wrong with it."""
    found = parse_member(key, value)
    spec = program.policy.lists.get(found.list)
    if spec is None:
        raise MemberError(unknown_list(found.list, list(program.policy.lists)))
    kind = program.kinds[spec.of]
    try:
        bytes_ = bytes_of(found.entity.split("|") if len(kind.key) > 1 else [found.entity], kind)
    except ValueError as error:
        raise MemberError(str(error)) from None
    member = found.member
    return MemberEntry(found.list, spec.of, bytes_, member.until if member else None, member is not None)


class Refusals:
    """Status documents about records that are not taken. One of a kind is enough to know: a file of them must not flood
    the status topic."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def of(self, topic: str, partition: int, offset: int, why: str, at_ms: int | None) -> Iterator[Json]:
        """The document about a record, unless one with the same reason was written before."""
        if why in self._said:
            return
        self._said.add(why)
        place: Json = {"name": topic, "partition": partition, "offset": offset}
        message = f"record {offset} of {topic}, partition {partition}, was rejected: {why}"
        yield status("list_rejected", topic, message, at_ms=at_ms, detail={"reason": why, "source": place})
