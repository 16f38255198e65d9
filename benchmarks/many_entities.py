"""Whether a state far larger than the cache works: millions of different entities with a bounded cache.

    python benchmarks/many_entities.py [--entities 5000000] [--cache-size 100MB]

One feature of one entity kind, each event a new entity, then a tenth of them once more. Prints the peak memory of the
run, the size of the state, and as the last line JSON. Every entity that came again must have been remembered: that is
counted from the verdicts, and a wrong count ends with status 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLICY = """
policy: many
events: {seen: {id: /id, time: {path: /at, unit: ms}, fields: {account: string}}}
entities: {account: account}
features: {n: {count: seen, by: account, over: 1d}}
rules: {again: {when: n >= 2, action: note, target: account}}
repeats: 0
"""
START = 1_772_431_200_000
CHUNK = 200_000


def write_events(path: Path, entities: int) -> int:
    """Each entity once, then every tenth again; the number of events."""
    again = range(0, entities, 10)
    with path.open("w", encoding="utf-8") as out:
        for keys in (range(entities), again):
            for first in range(0, len(keys), CHUNK):
                stretch = keys[first : first + CHUNK]
                at = START + first // 100
                out.writelines(
                    f'{{"id":"{keys.start}.{keys.step}.{k}","at":{at},"account":"user_{k:012d}"}}\n' for k in stretch
                )
    return entities + len(again)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=5_000_000)
    parser.add_argument("--cache-size", default="100MB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "policy.yaml").write_text(POLICY, encoding="utf-8")
        events = write_events(place / "events.jsonl", options.entities)
        arguments = [
            "run",
            "policy.yaml",
            "--input",
            "events.jsonl",
            "--output",
            "out",
            "--cache-size",
            options.cache_size,
        ]
        launch = [sys.executable, "-c", "from jobs.cli import main; main()", *arguments, "--quiet"]
        environment = os.environ | {"POLARS_MAX_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        started = time.perf_counter()
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(launch, cwd=place, env=environment, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            sys.exit(f"the run failed:\n{(place / 'log').read_text(errors='replace')}")
        found = sum(1 for _ in (place / "out/verdicts.shadow.jsonl").open("rb"))
        size = sum(file.stat().st_size for file in (place / "out/state").rglob("*") if file.is_file())
    right = found == events - options.entities
    figures = {
        "events": events,
        "entities": options.entities,
        "cache": options.cache_size,
        "peak_mb": usage.ru_maxrss // 1024,
        "state_mb": size >> 20,
        "cpu_us_per_event": round((usage.ru_utime + usage.ru_stime) / events * 1e6, 1),
        "us_per_event": round(seconds / events * 1e6, 1),
        "remembered": found,
        "right": right,
    }
    print(json.dumps(figures))
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
