"""watchgate list: who is on a list, as records of the lists topic."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from integration.kafka.address import KafkaPlace, is_kafka, kafka_place
from integration.kafka.member_topic import follow_members, write_members
from integration.list_files import read_list
from jobs.cli.kafka_options import Properties, kafka_errors, load_properties
from jobs.cli.shared import CommandError, mendable, parse_time
from schemas.cloudevents import iso
from schemas.members import Member, MemberError, member_key, parse_member
from schemas.problem import BadValueError
from schemas.words import check_name

app = typer.Typer(help="Put entities on lists and take them off, while jobs run.", no_args_is_help=True)

_List = Annotated[str, typer.Argument(metavar="LIST", help="Name of the list in the policy.")]
_Entities = Annotated[
    list[str] | None, typer.Argument(metavar="ENTITY", help="Keys; the columns of a longer key are separated by |.")
]
_Lists = Annotated[str, typer.Option("--lists", help="The lists topic: kafka://HOST:PORT/TOPIC.")]
_File = Annotated[Path | None, typer.Option("--file", help="A file with one entity a line.")]


@app.command(
    epilog="Example: `watchgate list add vip u17 --lists kafka://127.0.0.1:9092/shop.lists --until 2026-12-31T00:00:00Z`"
)
def add(
    name: _List,
    entities: _Entities = None,
    *,
    lists: _Lists,
    until: Annotated[
        str | None, typer.Option(help="Off the list again from this time on (ISO 8601, ingest time).")
    ] = None,
    file: _File = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    by: Annotated[str | None, typer.Option(help="Who; the user's name unless given.")] = None,
    client_properties: Properties = None,
) -> None:
    """Put entities on a list; one that is on it gets the new time, who and why."""
    value = {
        "until": None if until is None else iso(parse_time(until)),
        "by": by or getpass.getuser(),
        "reason": reason,
        "at": iso(int(datetime.now(UTC).timestamp() * 1000)),
    }
    count = _write(name, entities, file, lists, orjson.dumps(value), client_properties)
    print(f"{count:,} on list {name}" + (f" until {value['until']}" if until else ""))


@app.command(epilog="Example: `watchgate list remove vip u17 --lists kafka://127.0.0.1:9092/shop.lists`")
def remove(
    name: _List,
    entities: _Entities = None,
    *,
    lists: _Lists,
    file: _File = None,
    client_properties: Properties = None,
) -> None:
    """Take entities off a list. One that stands in the policy's list file too stays until it is taken out there."""
    count = _write(name, entities, file, lists, None, client_properties)
    print(f"{count:,} off list {name}")


@app.command(epilog="Example: `watchgate list show vip --lists kafka://127.0.0.1:9092/shop.lists`")
def show(
    name: _List,
    entities: _Entities = None,
    *,
    lists: _Lists,
    client_properties: Properties = None,
) -> None:
    """Show who is on a list by the lists topic, until when, by whom and why. Exit 1 if no one that was asked for is."""
    _checked(name)
    members: dict[str, Member] = {}
    with mendable(), kafka_errors():
        topic = follow_members(_place(lists), load_properties(client_properties))
        try:
            records = topic.read_to_end()
        finally:
            topic.close()
    for record in records:
        try:
            found = parse_member(record.key, record.value)
        except MemberError:
            continue  # a job says what is wrong with it
        if found.list == name:
            members.pop(found.entity, None)
            if found.member is not None:
                members[found.entity] = found.member
    wanted = [entity for entity in (sorted(entities) if entities else sorted(members)) if entity in members]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("entity", "until", "by", "reason"):
        table.add_column(column, overflow="fold")
    for entity in wanted:
        member = members[entity]
        cells = (entity, "-" if member.until is None else iso(member.until), member.by, member.reason)
        table.add_row(*("".join(c if c.isprintable() else "\ufffd" for c in cell) for cell in cells))
    if wanted:
        Console(highlight=False, markup=False, soft_wrap=True).print(table)
    print(f"{len(wanted):,} on list {name}")
    if entities and not wanted:
        raise typer.Exit(1)


def _write(
    name: str,
    entities: list[str] | None,
    file: Path | None,
    lists: str,
    value: bytes | None,
    client_properties: Path | None,
) -> int:
    _checked(name)
    with mendable(), kafka_errors():
        given = [*(entities or ()), *(entity for (entity,) in (read_list(file, name, 1) if file else ()))]
        if not given:
            raise CommandError(f"error: who? Name entities, or a file of them with --file, for list {name}.")
        try:
            keys = [member_key(name, entity) for entity in dict.fromkeys(given)]
        except MemberError as error:
            raise CommandError(f"error: {error}") from None
        return write_members(_place(lists), ((key, value) for key in keys), load_properties(client_properties))


def _checked(name: str) -> None:
    try:
        check_name(name)
    except BadValueError as error:
        raise CommandError(f"error: {error}" + (f"; {error.hint}" if error.hint else "")) from None


def _place(lists: str) -> KafkaPlace:
    if not is_kafka(lists):
        raise CommandError(
            f"error: {lists} is not a lists topic: write kafka://HOST:PORT/TOPIC. Without Kafka a list is a file: edit it, "
            "and a run takes it up when it starts."
        )
    return kafka_place(lists, "TOPIC")
