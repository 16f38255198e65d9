"""Entity lists as text files: one entity a line, `#` begins a comment, the columns of a key are separated by `|`."""

from pathlib import Path

from schemas.mendable import MendableError


class ListFileError(MendableError):
    """A list file cannot be read; the text says why and what to do."""


def read_list(path: Path, name: str, columns: int) -> list[tuple[str, ...]]:
    """The entities of a list, each as the texts of its key's columns; order kept, repeats dropped; O(lines)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ListFileError(
            f"list {name}: file {path} does not exist. Make it (one entity a line; it may be empty), or name its folder with --lists. Without it protected entities would be unknown."
        ) from None
    except UnicodeDecodeError as error:
        raise ListFileError(f"list {name}: file {path} is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise ListFileError(f"list {name}: file {path} cannot be read: {error.strerror}") from error
    entities: dict[tuple[str, ...], None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entity = line.strip()
        if not entity or entity.startswith("#"):
            continue
        parts = tuple(entity.split("|")) if columns > 1 else (entity,)
        if len(parts) != columns:
            raise ListFileError(
                f"list {name}: {path}:{number} has {len(parts)} columns, the entity's key has {columns}: separate them with |"
            )
        entities[parts] = None
    return list(entities)
