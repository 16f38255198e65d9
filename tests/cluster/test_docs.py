"""docs/kafka.md is true: its commands run on a real broker and print what it shows, and its consumers read what they wrote."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from integration.jars import Jars
from integration.java import find_java
from integration.kafka.broker import Broker
from tests.cluster.embedded_world import committed
from tests.e2e.conftest import start
from tests.examples.test_docs import FENCE, FILE, commands, plain, run

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]


def test_the_page_is_true(broker: Broker, jars: Jars, prefix: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8")
    # Other tests share the broker: only names differ from the page.
    page = page.replace("127.0.0.1:9092", broker.address).replace("shop.enforcement", f"{prefix}.enforcement")
    page = re.sub(
        r"/shop(?=[. ])|(?<=prefix )shop|(?<=topic )shop|(?<=made   )shop|(?<=records to )shop",
        lambda m: m[0].replace("shop", prefix),
        page,
    )
    page = page.replace(f"made   {prefix}.{prefix}.", f"made   {prefix}.").replace(
        "shop.events/0/3", f"{prefix}.events/0/3"
    )
    background = []
    try:
        for fence in FENCE.finditer(page):
            name = FILE.search(fence["before"] or "")
            if fence["language"] == "console":
                for command, lines in commands(fence["body"]):
                    if command.endswith("&"):
                        arguments = command.removesuffix("&").split()[1:]
                        job = start(*(str(tmp_path / a) if a in ("shop.yaml", "state") else a for a in arguments))
                        background.append(job)
                        continue
                    printed, at = plain(run(command, tmp_path, ROOT)), 0
                    for line in map(plain, lines):
                        assert line in printed[at:], f"{command}\nshould print: {line}\nprinted: {printed}"
                        at = printed.index(line, at) + len(line)
            elif name:
                (tmp_path / name[1]).write_text(fence["body"], encoding="utf-8")
            elif fence["language"] == "python":
                body = fence["body"].replace('group="', 'idle_s=3, group="')
                python = subprocess.run(
                    [sys.executable, "-c", body], cwd=ROOT, capture_output=True, text=True, timeout=60
                )
                assert python.stdout == "limit ben posts_1h 3 (>= 3), not in list partners\n", python.stderr
            elif fence["language"] == "java":
                (tmp_path / "Enforcements.java").write_text(fence["body"], encoding="utf-8")
    finally:
        for job in background:
            job.terminate()
            assert job.wait(60) == 143, job.stderr and job.stderr.read()
    assert background

    found = committed(broker.address, f"{prefix}.enforcement")
    assert len(found) == 1
    java = [str(find_java().executable), "-cp", jars.broker_classpath, str(tmp_path / "Enforcements.java")]
    with subprocess.Popen(
        [*java, broker.address, f"{prefix}.enforcement"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as client:
        assert client.stdout is not None
        try:
            line = next(line for line in client.stdout if line.startswith("account/"))
        finally:
            client.kill()
    assert line == f"account/ben {found[0].value.decode()}\n"
