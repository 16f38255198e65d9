"""What every test may use: the mark of those that need a real broker and cluster, and what happens without one."""

import os
from functools import cache

import pytest

_LOUD = "needs a real Kafka broker and Flink cluster: "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs Java, and Maven once: a real Kafka broker, a real Flink cluster")
    config.addinivalue_line("markers", "xdist_group(name): tests of one group run in one worker (pytest-xdist's own)")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all cluster tests, so that there is one broker and one cluster (pytest --dist loadgroup)."""
    cluster = [item for item in items if item.get_closest_marker("cluster")]
    why = cluster_missing() if cluster else None
    for item in cluster:
        item.add_marker(pytest.mark.xdist_group("cluster"))
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
