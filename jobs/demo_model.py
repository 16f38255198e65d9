"""The part of the demo that trains: a text classifier from the earlier half of the comments, for the later half."""

import csv
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from ruamel.yaml import YAML

from jobs.label_history import LabelHistory
from jobs.policies import Policies
from jobs.simulation import Simulation
from jobs.training_set import training_set
from models.registry import Registry
from models.training import Order, train
from operators.plan import Program
from operators.program import without_rules
from schemas.manifest import Manifest

_TIME = "published_at"


def halves(example: Path, folder: Path) -> tuple[Path, Path]:
    """The dated comments of an example as two files, the earlier half and the later."""
    lines = (example / "comments.jsonl").read_bytes().splitlines(keepends=True)
    dated = [line for line in lines if _TIME in orjson.loads(line)]
    cut = len(dated) // 2
    files = folder / "earlier.jsonl", folder / "later.jsonl"
    for file, half in zip(files, (dated[:cut], dated[cut:]), strict=True):
        file.write_bytes(b"".join(half))
    return files


def trained(example: Path, earlier: Path, registry: Path) -> Manifest:
    """Trains `spam` on the earlier comments and adds it to the registry."""
    program = without_rules(Policies().load(example / "policy.yaml"))
    with (example / "labels.csv").open(encoding="utf-8", newline="") as rows:
        known = {row["id"]: row["spam"] == "1" for row in csv.DictReader(rows)}
    ids = pl.DataFrame({"event_id": list(known), "positive": list(known.values())})
    simulation = Simulation(program, Policies().of_document, str(earlier), example, keep_observed=True)
    table = training_set(simulation, program, ["text"], LabelHistory(ids, 0, 0), None)
    order = Order("spam", "text", "Spam in a comment", "2026-01-01T00:00:00.000Z")
    result = train(table.samples, order)
    return Registry(registry).add(result.draft, result.data)


def with_model(example: Path, policy: Path) -> Path:
    """Writes the policy of an example with its model and the rule over it; returns the file."""
    yaml = YAML(pure=True)
    document: Any = yaml.load((example / "policy.yaml").read_text(encoding="utf-8"))
    added: Any = yaml.load((example / "model.yaml").read_text(encoding="utf-8"))
    document["models"] = added["models"]
    document["rules"].update(added["rules"])
    del document["tests"]  # their files lie beside the example
    with policy.open("w", encoding="utf-8") as out:
        yaml.dump(document, out)
    return policy


def ready(example: Path, folder: Path) -> tuple[Program, Policies, Path, Manifest]:
    """Trains below `folder`; the program with the model, what scores it, the later comments, and the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier, later = halves(example, folder)
    manifest = trained(example, earlier, folder / "models")
    policies = Policies.over(folder / "models")
    program = policies.load(with_model(example, folder / "policy.yaml"))
    policies.require(program)
    return program, policies, later, manifest
