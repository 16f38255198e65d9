"""Makes `comments.jsonl` and `labels.csv` from the CSV files of the YouTube Spam Collection.

    python examples/comments/prepare.py FOLDER_OF_CSV_FILES [--output FOLDER]

Events hold no label: that is in `labels.csv` (id, spam, dated). Each author becomes `author_xxxxxxxx`, a keyed hash
whose key is drawn at random and forgotten; so the pseudonyms differ from run to run, and nothing else does. In the
texts, e-mail addresses, phone numbers, @mentions and names of authors are masked; links stay as they are.
"""

import argparse
import csv
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

LINK = re.compile(r"<[^>]*>|\S*(?:://|www\.|[/=])\S*", re.IGNORECASE)
EMAIL = re.compile(r"[\w.+-]+\s?(?:@|\(at\)|\[at\])\s?[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
MENTION = re.compile(r"(?<!\w)@\s?\w+")
PHONE = re.compile(r"\+\d[\d ().-]{6,}\d|(?<![\d.,+])\(?\d{2,5}\)?(?:[ -]\d{2,5}){2,4}(?![\d.,])")
# One closing quote is missing in the Eminem file: a text goes on with the next five rows of the file.
SWALLOWED_ROWS = re.compile(r",[01]?\r?\n[\w-]{30,},.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Comment:
    id: str
    author: str
    date: str
    text: str
    spam: bool
    video: str


def read(folder: Path) -> list[Comment]:
    """Every row of every `Youtube*.csv` in the folder, files in the order of their names."""
    files = sorted(folder.glob("Youtube*.csv"))
    if not files:
        raise SystemExit(f"no Youtube*.csv in {folder}: unpack https://archive.ics.uci.edu/dataset/380 there")
    comments = []
    for file in files:
        video = file.stem.split("-", 1)[-1].lower()
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                text = SWALLOWED_ROWS.sub("", row["CONTENT"])
                comments.append(
                    Comment(row["COMMENT_ID"], row["AUTHOR"], row["DATE"], text, row["CLASS"] == "1", video)
                )
    return comments


def iso(date: str) -> str:
    """ISO 8601 in UTC with milliseconds; the collection writes UTC without a zone."""
    return datetime.fromisoformat(date).replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def merge(comments: list[Comment]) -> list[Comment]:
    """Dated comments by time, ties in the order of the files, undated ones spread evenly between them."""
    dated = sorted((c for c in comments if c.date), key=lambda c: iso(c.date))
    undated = [c for c in comments if not c.date]
    places = [(index + 1.0, c) for index, c in enumerate(dated)]
    step = len(dated) / (len(undated) + 1)
    places += [(int((index + 1) * step) + 0.5, c) for index, c in enumerate(undated)]
    return [c for _, c in sorted(places, key=lambda place: place[0])]


class Pseudonyms:
    """One keyed hash for authors, and the masking of people in texts."""

    def __init__(self, authors: set[str], key: bytes) -> None:
        self.key = key
        # A name in lower-case letters alone is a word or a celebrity more often than a person's mark.
        names = sorted((a for a in authors if len(a) >= 6 and not re.fullmatch(r"[a-z ]+", a)), key=len, reverse=True)
        self.name = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, names)) + r")(?!\w)") if names else None

    def of(self, author: str) -> str:
        return "author_" + blake2b(author.encode(), key=self.key, digest_size=4).hexdigest()

    def mask(self, text: str) -> str:
        """The text with people masked outside of its links."""
        parts, end = [], 0
        for link in LINK.finditer(text):
            parts += [self._mask_words(text[end : link.start()]), link[0]]
            end = link.end()
        return "".join([*parts, self._mask_words(text[end:])])

    def _mask_words(self, words: str) -> str:
        words = PHONE.sub("[phone]", MENTION.sub("@[name]", EMAIL.sub("[e-mail]", words)))
        return self.name.sub(lambda name: self.of(name[0]), words) if self.name else words


def event(comment: Comment, pseudonyms: Pseudonyms) -> dict[str, object]:
    """The event as the policy reads it; an undated comment has no `published_at`."""
    when = {"published_at": iso(comment.date)} if comment.date else {}
    author = {"id": pseudonyms.of(comment.author)}
    return {"id": comment.id, **when, "video": comment.video, "author": author, "text": pseudonyms.mask(comment.text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with Youtube01-Psy.csv and the others")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()

    comments = merge(read(options.folder))
    pseudonyms = Pseudonyms({c.author for c in comments}, secrets.token_bytes(32))
    with (options.output / "comments.jsonl").open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(event(c, pseudonyms), ensure_ascii=False) + "\n" for c in comments)
    labels = {c.id: (c.id, int(c.spam), int(bool(c.date))) for c in comments}
    with (options.output / "labels.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("id", "spam", "dated"))
        writer.writerows(labels.values())
    print(
        f"{len(comments)} comments, {len(labels)} ids, {sum(not c.date for c in comments)} undated, to {options.output}"
    )


if __name__ == "__main__":
    main()
