"""What an event costs, from JSON lines on disk to verdict files with durable state, beside the same work in bytewax.

    python benchmarks/embedded.py [--quick] [--events 250000 1000000] [--variants hot cold] [--repeat 3] [--no-peer]

Each job runs as a process of its own on one core (POLARS_MAX_THREADS=1), on a small and on a large file. The cost of
an event is the difference quotient of the two, so that start-up is in no figure; with `--repeat` the fastest run of
each size counts. Both programs must find the same hits, else the comparison is refused. The last line printed is
JSON.

bytewax runs as `peer_bytewax.py` says: `shards` is its fastest form and keeps nothing durable; `keys` is the usual
form; `keys+recovery` keeps its state on disk, as Watchgate does in all of these runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from generate import VARIANTS, write

HERE = Path(__file__).resolve().parent
ONE_CORE = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
PEERS = {"hot": ("shards", "keys", "keys+recovery"), "cold": ("shards", "keys", "keys+recovery")}


RATES = """  account_rush:   {surprise: 1m, by: account}
  account_volume: {envelope: 5m, of: count, by: account}
"""
"""What `--rates` adds to the policy."""


class BenchmarkError(Exception):
    """A job failed, or two jobs that should agree do not."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one job: seconds of wall and CPU time, peak memory in MB, rule hits, seconds by stage."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    hits: int
    stages: dict[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """The marginal cost of an event in microseconds of wall and CPU time, and what the large run held and found."""

    us: float
    cpu_us: float
    peak_mb: float
    hits: int
    stages: dict[str, float]

    def as_json(self) -> dict[str, object]:
        figures = {
            "us_per_event": round(self.us, 2),
            "cpu_us_per_event": round(self.cpu_us, 2),
            "events_per_s": round(1e6 / self.us),
        }
        stages = {"stages_us": {stage: round(us, 2) for stage, us in self.stages.items()}} if self.stages else {}
        return {**figures, "peak_mb": round(self.peak_mb), "hits": self.hits, **stages}


def run_process(command: list[str], core: int) -> tuple[float, float, float]:
    """Runs a command on one core; wall seconds, CPU seconds, peak MB. Raises BenchmarkError with its last words."""
    with tempfile.TemporaryFile() as words:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=HERE.parent,
            env=os.environ | ONE_CORE,
            stdout=words,
            stderr=words,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words.seek(0)
            raise BenchmarkError(
                f"{' '.join(command)} ended with {process.returncode}:\n{words.read().decode()[-2000:]}"
            )
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def count_hits(*files: Path) -> int:
    """Rules that fired in files of verdicts."""
    return sum(len(json.loads(line)["rules"]) for file in files for line in file.open("rb"))


def watchgate(events: Path, folder: Path, core: int, batch_size: int, rates: bool = False) -> Run:
    """`watchgate run` on a file, into an empty folder; with `rates` the policy has RATES too."""
    out, profile = folder / "out", folder / "profile.json"
    policy = HERE / "policy.yaml"
    if rates:
        text = policy.read_text(encoding="utf-8")
        policy = folder / "rates.yaml"
        policy.write_text(text.replace("\nfeatures:\n", f"\nfeatures:\n{RATES}", 1), encoding="utf-8")
    launch = [sys.executable, "-c", "from jobs.cli import main; main()"]
    command = [
        *launch,
        "run",
        str(policy),
        "--input",
        str(events),
        "--output",
        str(out),
        "--state",
        str(folder / "state"),
    ]
    command += ["--batch-size", str(batch_size), "--checkpoint-interval", "1s", "--profile", str(profile), "--quiet"]
    figures = run_process(command, core)
    return Run(
        *figures,
        count_hits(out / "verdicts.jsonl", out / "verdicts.shadow.jsonl"),
        json.loads(profile.read_bytes())["seconds"],
    )


def bytewax(events: Path, folder: Path, core: int, form: str) -> Run:
    """The peer on a file; `form` is shards, keys or keys+recovery."""
    out = folder / "out.jsonl"
    command = [sys.executable, str(HERE / "peer_bytewax.py"), str(events), str(out), "--state", form.split("+")[0]]
    if form.endswith("+recovery"):
        command += ["--recovery", str(folder / "recovery")]
    return Run(*run_process(command, core), count_hits(out), {})


def fastest(runs: list[Run]) -> Run:
    return min(runs, key=lambda run: run.seconds)


def marginal(small: Run, large: Run, events: int) -> Cost:
    """The difference quotient of two runs that are `events` apart."""

    def per_event(before: float, after: float) -> float:
        return (after - before) / events * 1e6

    stages = {stage: per_event(small.stages.get(stage, 0.0), seconds) for stage, seconds in large.stages.items()}
    us = per_event(small.seconds, large.seconds)
    if us <= 0:
        raise BenchmarkError("the large run was not slower than the small one: give sizes that lie further apart")
    return Cost(us, per_event(small.cpu_seconds, large.cpu_seconds), large.peak_mb, large.hits, stages)


def table(rows: list[tuple[str, str, Cost]]) -> str:
    """One line a job; the split by stage below."""
    lines = [f"{'input':8} {'job':24} {'us/event':>9} {'cpu us':>8} {'events/s':>10} {'peak MB':>8} {'hits':>8}"]
    for variant, job, cost in rows:
        lines.append(
            f"{variant:8} {job:24} {cost.us:9.2f} {cost.cpu_us:8.2f} {1e6 / cost.us:10,.0f}"
            f" {cost.peak_mb:8.0f} {cost.hits:8,}"
        )
    lines += ["", "us an event by stage"]
    for variant, _, cost in rows:
        if cost.stages:
            lines.append(f"{variant:8} " + "  ".join(f"{stage} {us:.2f}" for stage, us in cost.stages.items()))
    return "\n".join(lines)


def warm_up(folder: Path, core: int, batch_size: int) -> None:
    """One small run, so that none that counts compiles modules or reads them from disk."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        events = Path(place) / "events.jsonl"
        write(events, 1_000, "hot")
        watchgate(events, Path(place), core, batch_size)


def measure(options: argparse.Namespace, folder: Path) -> list[tuple[str, str, Cost]]:
    """Every job on every input, one after the other."""
    core = max(os.sched_getaffinity(0))
    warm_up(folder, core, options.batch_size)
    rows = []
    for variant in options.variants:
        files = [folder / f"{variant}-{size}.jsonl" for size in options.events]
        for file, size in zip(files, options.events, strict=True):
            write(file, size, variant, seed=options.seed)
        forms = () if options.no_peer else PEERS.get(variant, ())
        jobs = ("watchgate", *(["watchgate rates"] if options.rates else []), *forms)
        for job in jobs:
            best = []
            for file in files:
                runs = []
                for _ in range(options.repeat):
                    with tempfile.TemporaryDirectory(dir=folder) as place:
                        if job.startswith("watchgate"):
                            rates = job != "watchgate"
                            runs.append(watchgate(file, Path(place), core, options.batch_size, rates))
                        else:
                            runs.append(bytewax(file, Path(place), core, job))
                best.append(fastest(runs))
            cost = marginal(best[0], best[1], options.events[1] - options.events[0])
            rows.append((variant, job if job.startswith("watchgate") else f"bytewax {job}", cost))
            print(f"{variant} {rows[-1][1]}: {cost.us:.2f} us an event", file=sys.stderr)
            if cost.hits != rows[-1 - jobs.index(job)][2].hits:
                raise BenchmarkError(f"{variant}: watchgate and {rows[-1][1]} do not find the same hits")
        for file in files:
            file.unlink()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--events", type=int, nargs=2, metavar=("SMALL", "LARGE"), help="sizes of the two files (250000 1000000)"
    )
    parser.add_argument("--quick", action="store_true", help="50,000 and 200,000 events")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--repeat", type=int, default=1, help="runs of each job and size; the fastest counts")
    parser.add_argument("--batch-size", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-peer", action="store_true", help="Watchgate alone")
    parser.add_argument("--rates", action="store_true", help="also with a surprise and an envelope of each account")
    parser.add_argument("--folder", type=Path, help="where inputs, outputs and state are kept meanwhile")
    options = parser.parse_args()
    options.events = options.events or ([50_000, 200_000] if options.quick else [250_000, 1_000_000])
    if options.events[0] >= options.events[1]:
        parser.error("--events: the first size must be smaller than the second")

    try:
        if options.folder:
            Path(options.folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rows = measure(options, Path(folder))
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
    print(table(rows))
    ours = {variant: cost for variant, job, cost in rows if job == "watchgate"}
    ratios = {
        f"{variant} {job}": {
            "wall": round(cost.us / ours[variant].us, 2),
            "cpu": round(cost.cpu_us / ours[variant].cpu_us, 2),
        }
        for variant, job, cost in rows
        if job != "watchgate"
    }
    print()
    for name, ratio in ratios.items():
        print(f"{name}: {ratio['wall']:.1f} times the wall time of watchgate, {ratio['cpu']:.1f} times its CPU time")
    costs = {variant: {job: cost.as_json() for v, job, cost in rows if v == variant} for variant in options.variants}
    print(json.dumps({"events": options.events, "costs": costs, "ratios": ratios}))


if __name__ == "__main__":
    main()
