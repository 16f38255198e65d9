"""Three attacks on generated data: makes the data, runs the policy beside this file, and measures its rule.

    python examples/patterns/patterns.py spraying [--output out/spraying] [--seed 1]

Writes `events.jsonl`, `truth.txt` (ids of the events of the attack), and `labels.jsonl` where the pattern has labels. Precision is the share of
the rule's events that belong to the attack, recall the share of the attack's events for which the rule fired.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = 3_600.0, 86_400.0


@dataclass(slots=True)
class Story:
    """Events (seconds since the start, fields, whether it is of the attack, seconds until its label is known or None)."""

    draw: random.Random
    made: list[tuple[float, dict[str, object], bool, float | None]] = field(default_factory=list)

    def add(self, at: float, bad: bool = False, known: float | None = None, **fields: object) -> None:
        self.made.append((at, fields, bad, known))


def spraying(story: Story) -> None:
    """600 people log in for two days, some of them behind one NAT; in the second night 260 accounts are tried from one network."""
    draw = story.draw
    for person in range(600):
        home = "100.64.7." if person % 5 == 0 else f"10.{person // 200}.{person % 200}."
        for day in range(2):
            for _ in range(draw.randrange(1, 5)):
                at = day * DAY + draw.uniform(6, 23) * HOUR
                ok = draw.random() > 0.12
                story.add(at, account=f"a{person}", ip=f"{home}{draw.randrange(1, 40)}", ok=ok)
                if not ok and draw.random() < 0.9:
                    story.add(
                        at + 20, account=f"a{person}", ip=f"{home}{draw.randrange(1, 40)}", ok=draw.random() > 0.2
                    )
        if person % 9 == 0:  # travels
            story.add(1.5 * DAY, account=f"a{person}", ip=f"172.20.{person % 40}.9", ok=draw.random() > 0.2)
    for victim in draw.sample(range(600), 260):
        at = 1.1 * DAY + draw.uniform(0, 3) * HOUR
        for number in range(draw.randrange(1, 3)):
            ip = f"203.0.113.{draw.randrange(1, 60)}"
            story.add(at + 400 * number, True, account=f"a{victim}", ip=ip, ok=draw.random() < 0.04)


SPELLINGS = (
    "Cheap watches at watches.example",
    "CHEAP watches, at watches.example!",
    "Ch\u0435ap w\u0430tches at watches.example",
)
SAYINGS = ("Happy new year to all of you!", "First!", "Thanks for sharing this", "Who is here in 2026?")


def content_farm(story: Story) -> None:
    """400 people post for five days, some of them the same words, some at a family's computer; a farm of 24 accounts on four
    phones posts six texts in many spellings."""
    draw = story.draw
    for person in range(400):
        for _ in range(draw.randrange(3, 12)):
            text = draw.choice(SAYINGS) if draw.random() < 0.15 else f"post {draw.randrange(10**9)} about {person}"
            device = f"family{person // 4}" if person % 10 == 0 else f"d{person}"
            story.add(draw.uniform(0, 5) * DAY, account=f"a{person}", device=device, text=text)
        if person % 50 == 0:  # a library's computer
            story.add(draw.uniform(0, 5) * DAY, account=f"a{person}", device="library", text=draw.choice(SAYINGS))
    for number in range(6):
        begin = draw.uniform(1, 4) * DAY
        for member in draw.sample(range(24), 18):
            text = f"{draw.choice(SPELLINGS)} {number}"
            at = begin + draw.uniform(0, 10) * HOUR
            story.add(at, True, account=f"farm{member}", device=f"phone{member % 4}", text=text)


def mule_terminal(story: Story) -> None:
    """300 cards pay at 60 terminals for 60 days; three terminals turn, and stolen cards are emptied there for three weeks.

    Four out of five frauds are charged back, three to ten days later; one honest payment in 400 is, too.
    """
    draw = story.draw
    for card in range(300):
        shops = draw.sample(range(60), 6)
        usual = draw.uniform(10, 90)
        for _ in range(draw.randrange(30, 80)):
            terminal = draw.choice(shops) if draw.random() < 0.9 else draw.randrange(60)
            amount = round(max(draw.gauss(usual, usual / 4), 1), 2)
            wait = draw.uniform(3, 10) * DAY if draw.random() < 1 / 400 else None
            story.add(draw.uniform(0, 60) * DAY, False, wait, card=f"c{card}", terminal=f"t{terminal}", amount=amount)
        for terminal, begin in ((3, 20), (17, 25), (41, 32)):
            if draw.random() < 0.25:
                at = (begin + draw.uniform(0, 21)) * DAY
                for number in range(draw.randrange(1, 3)):
                    amount = round(usual * draw.uniform(1.2, 4), 2)
                    wait = draw.uniform(3, 10) * DAY if draw.random() < 0.8 else None
                    story.add(at + 60 * number, True, wait, card=f"c{card}", terminal=f"t{terminal}", amount=amount)


PATTERNS: dict[str, tuple[Callable[[Story], None], str]] = {
    "spraying": (spraying, "sprayed"),
    "content_farm": (content_farm, "farmed"),
    "mule_terminal": (mule_terminal, "mule"),
}


def write(folder: Path, pattern: str, seed: int) -> bool:
    """Makes the data of a pattern; whether it has labels. The same seed gives the same bytes."""
    story = Story(random.Random(f"{pattern}{seed}"))
    PATTERNS[pattern][0](story)
    story.made.sort(key=lambda made: made[0])
    folder.mkdir(parents=True, exist_ok=True)
    events, truth, labels = [], [], []
    for number, (at, fields, bad, known) in enumerate(story.made):
        ident = f"e{number:05d}"
        events.append(json.dumps({"id": ident, "at": stamp(at)} | fields, ensure_ascii=False))
        truth += [ident] if bad else []
        if known is not None:
            label = {
                "event_id": ident,
                "name": "fraud",
                "value": True,
                "event_time": stamp(at),
                "known_at": stamp(at + known),
            }
            label |= {"keys": {"card": fields["card"], "terminal": fields["terminal"]}, "amount": fields["amount"]}
            labels.append((at + known, json.dumps(label | {"source": "chargeback"})))
    (folder / "events.jsonl").write_text("\n".join(events) + "\n", encoding="utf-8")
    (folder / "truth.txt").write_text("\n".join(truth) + "\n", encoding="utf-8")
    if labels:
        (folder / "labels.jsonl").write_text("\n".join(label for _, label in sorted(labels)) + "\n", encoding="utf-8")
    return bool(labels)


def stamp(seconds: float) -> str:
    return (START + timedelta(milliseconds=round(seconds * 1_000))).isoformat(timespec="milliseconds")


def measure(folder: Path, rule: str) -> tuple[int, float, float]:
    """Events that the rule fired for, precision, recall."""
    truth = set((folder / "truth.txt").read_text(encoding="utf-8").split())
    verdicts = (folder / "verdicts/verdicts.shadow.jsonl").read_text(encoding="utf-8").splitlines()
    fired = {v["event_id"] for v in map(json.loads, verdicts) if any(r["rule"] == rule for r in v["rules"])}
    return len(fired), len(fired & truth) / max(len(fired), 1), len(fired & truth) / len(truth)


def main() -> None:
    """Makes the data, runs the policy, prints what the rule found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", choices=list(PATTERNS))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = options.output or Path("out") / options.pattern
    labelled = write(folder, options.pattern, options.seed)
    command = [sys.executable, "-c", "from jobs.cli import main; main()", "run", str(HERE / f"{options.pattern}.yaml")]
    command += ["--input", str(folder / "events.jsonl"), "--output", str(folder / "verdicts"), "--quiet"]
    command += ["--labels", str(folder / "labels.jsonl")] if labelled else []
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    hits, precision, recall = measure(folder, PATTERNS[options.pattern][1])
    events = len((folder / "events.jsonl").read_text(encoding="utf-8").splitlines())
    attack = len((folder / "truth.txt").read_text(encoding="utf-8").split())
    print(f"{options.pattern}: {events:,} events, {attack} of the attack")
    print(f"{PATTERNS[options.pattern][1]}: {hits} hits, precision {precision:.2f}, recall {recall:.2f}")


if __name__ == "__main__":
    main()
