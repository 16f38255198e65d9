"""What every test may use: the mark of those that need a real broker and cluster, and what happens without one."""

import os
from functools import cache

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_LOUD = "needs a real Kafka broker and Flink cluster: "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs Java, and Maven once: a real Kafka broker, a real Flink cluster")


class ClusterTogether(LoadScopeScheduling):
    """One worker runs all tests that need a cluster, so that there is one broker and one cluster; the others run apart.

    By the folder: under this version of pytest the groups of pytest-xdist reach no test.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith("tests/cluster/") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    return ClusterTogether(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    cluster = [item for item in items if item.get_closest_marker("cluster")]
    why = cluster_missing() if cluster else None
    for item in cluster:
        if why and os.environ.get("CI") != "true":
            item.add_marker(pytest.mark.skip(reason=_LOUD + why))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skip is a letter that nobody reads: say it once, and say why."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if _LOUD in str(report.longrepr)]
    if skipped:
        line = f"NOT TESTED ON A CLUSTER: {len(skipped)} tests skipped. {cluster_missing()}"
        terminalreporter.write_line(line, red=True, bold=True)


@cache
def cluster_missing() -> str | None:
    """Why there can be no broker and no cluster here, None when there can."""
    from integration.flink.settings import ClusterError, flink_home
    from integration.jars import JarsError, cached_jars, find_maven
    from integration.java import JavaError, find_java

    try:
        find_java()
        flink_home()
        if cached_jars() is None:
            find_maven()
    except (ClusterError, JarsError, JavaError) as error:
        return str(error)
    return None
