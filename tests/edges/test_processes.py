"""Detached processes: stopped when they are ours, left alone when the pid is somebody else's by now."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from integration.flink.cluster import Cluster, find_cluster
from integration.flink.settings import ClusterError, Ports
from integration.kafka.broker import BrokerError, find_broker
from integration.processes import Started, free_ports, port_is_free, start, tail_of


def sleeper(folder: Path, code: str = "import time; time.sleep(60)") -> Started:
    return start([sys.executable, "-c", code], folder / "log", os.environ, folder)


def test_a_process_outlives_nobody_who_stops_it(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    assert process.alive
    process.stop()
    assert not process.alive
    process.stop()


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = sleeper(tmp_path, code)
    while "1" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    process.stop(patience_s=0.3)
    assert not process.alive


def test_its_children_end_with_it(tmp_path: Path) -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    process = sleeper(tmp_path, code)
    while not (tmp_path / "log").read_text().endswith("\n"):
        time.sleep(0.02)
    child = int((tmp_path / "log").read_text())
    process.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_pid_that_is_anothers_by_now_is_left_alone(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    try:
        stranger = replace(process, began="another time")
        assert not stranger.alive
        stranger.stop()
        stranger.kill()
        assert process.alive
    finally:
        process.kill()


def test_another_process_can_stop_it(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    code = f"from integration.processes import Started; Started({process.pid}, {process.began!r}).stop()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert not process.alive


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20 and all(map(port_is_free, ports))


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1\n2\n3\n")
    assert tail_of(tmp_path / "log", 2) == "2\n3"
    assert tail_of(tmp_path / "none") == "(no log was written)"


def test_state_files_that_are_none_are_named(tmp_path: Path) -> None:
    assert find_broker(tmp_path) is None and find_cluster(tmp_path) is None
    (tmp_path / "broker.json").write_text("{")
    (tmp_path / "cluster.json").write_text("{}")
    with pytest.raises(BrokerError, match=r"cannot be read: .* Remove it if no broker of it runs"):
        find_broker(tmp_path)
    with pytest.raises(ClusterError, match=r"cannot be read: .* Remove it if no cluster of it runs"):
        find_cluster(tmp_path)


def test_a_cluster_is_found_as_it_was_saved(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Ports(1, 2, 3), Started(1, "a"), None, [Started(2, "b")])
    cluster.save()
    assert find_cluster(tmp_path) == cluster
