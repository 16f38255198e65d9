"""One broker and one cluster for all tests of a session, started when the first test asks and stopped at the end."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster, start_cluster
from integration.flink.settings import QUICK_START
from integration.jars import Jars, resolve_jars
from integration.kafka.broker import Broker, start_broker


@pytest.fixture(scope="session")
def jars() -> Jars:
    """The jars. Where they cannot be had the tests were skipped before; with CI=true they fail here."""
    return resolve_jars()


@pytest.fixture(scope="session")
def broker(jars: Jars, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real broker. A test that kills it starts it again with `start_broker(broker.folder, jars)`: the ports stay."""
    made = start_broker(tmp_path_factory.mktemp("kafka"), jars)
    yield made
    stop_broker(made.folder)


def stop_broker(folder: Path) -> None:
    """Stops whatever was last started there: a test may have started it anew."""
    from integration.kafka.broker import find_broker

    found = find_broker(folder)
    if found:
        found.stop()


@pytest.fixture(scope="session")
def flink(jars: Jars, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real cluster of two TaskManagers. A test that ends one starts another before it is over.

    Its jobs live for seconds, so the second compiler of their JVMs would take more time than it saves."""
    settings = {
        "metrics.fetcher.update-interval": "1000",
        "env.java.opts.taskmanager": f"-XX:+ExitOnOutOfMemoryError {QUICK_START}",
    }
    made = start_cluster(tmp_path_factory.mktemp("flink"), jars, taskmanagers=2, settings=settings)
    yield made
    made.stop()


@pytest.fixture
def prefix() -> str:
    """What the topics of one test begin with."""
    return f"t{uuid.uuid4().hex[:8]}"
