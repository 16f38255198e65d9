"""The settings of the local cluster: Flink's own config.yaml with what a job of ours needs, and the environment of its
processes."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ruamel.yaml import YAML

from integration.java import Java
from schemas.mendable import MendableError

QUICK_START = "-XX:TieredStopAtLevel=1"
"""The option of a JVM that shall be up soon rather than fast later."""
_HOST = "127.0.0.1"

# While the broker is away this one writes thousands of lines a second at INFO.
_QUIET = """
logger.rebootstrap.name = org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.internals.AdminMetadataManager
logger.rebootstrap.level = WARN
"""


class ClusterError(MendableError):
    """The cluster does not start or is not there; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """`rest` is the web page and the API, `rpc` and `zookeeper` are the cluster's own."""

    rest: int
    rpc: int
    zookeeper: int


def flink_home() -> Path:
    """The Flink of the pip package. Raises ClusterError when it is not installed."""
    found = find_spec("pyflink")
    if found is None or found.origin is None:
        raise ClusterError(
            "Flink is not installed in this Python. Install it with: pip install '.[flink]' in Watchgate's folder"
        )
    return Path(found.origin).parent


def python_path() -> str:
    """What the Python inside a TaskManager must find: the packages of this Python, and Watchgate itself.

    The embedded interpreter knows nothing of a virtual environment: without this it stops at "No module named 'pemja'".
    """
    packages = sysconfig.get_paths()["purelib"]
    project = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys((packages, sysconfig.get_paths()["platlib"], project)))


def environment(folder: Path, java: Java) -> dict[str, str]:
    """The environment of the cluster's processes, and of `flink run` against it."""
    python = Path(sys.executable).parent
    return dict(os.environ) | {
        "JAVA_HOME": str(java.home),
        "FLINK_HOME": str(flink_home()),
        "FLINK_CONF_DIR": str(folder / "conf"),
        "FLINK_LIB_DIR": str(folder / "lib"),
        "FLINK_LOG_DIR": str(folder / "log"),
        "FLINK_PID_DIR": str(folder / "pid"),
        "FLINK_IDENT_STRING": "watchgate",
        "PYTHONPATH": python_path(),
        "PATH": f"{python}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def write_conf(folder: Path, ports: Ports, connector: Path, overrides: Mapping[str, str]) -> None:
    """Makes `folder/conf` from the package's own, with our settings; `overrides` win over both. And `folder/lib`."""
    packaged = flink_home() / "conf"
    conf = folder / "conf"
    for name in ("conf", "log", "pid", "checkpoints", "savepoints", "ha", "tmp", "zookeeper"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for file in packaged.iterdir():
        shutil.copy(file, conf / file.name)
    # The processes run in the foreground: a console log beside the log file would be a second copy.
    logging = (packaged / "log4j.properties").read_text() + _QUIET
    (conf / "log4j-console.properties").write_text(logging)
    _write_lib(folder / "lib", connector)
    yaml = YAML(typ="safe")
    base = yaml.load((packaged / "config.yaml").read_text())
    settings = {"env.java.opts.all": base["env"]["java"]["opts"]["all"]} | _settings(folder, ports) | dict(overrides)
    with (conf / "config.yaml").open("w") as file_out:
        yaml.dump(settings, file_out)
    (conf / "zoo.cfg").write_text(
        f"tickTime=2000\nadmin.enableServer=false\ndataDir={folder / 'zookeeper'}\n"
        f"clientPort={ports.zookeeper}\nclientPortAddress={_HOST}\nserver.1={_HOST}:2888:3888\n"
    )


def _write_lib(lib: Path, connector: Path) -> None:
    """The package's jars, with flink-python and the Kafka connector among them, for all jobs alike.

    A job brings flink-python along, and with it pemja, whose native library a JVM loads for one class loader only: the
    second job of a TaskManager, or the same one after a failure, would stop at "NoSuchFieldException:
    loadedLibraryNames". Here the JVM's own class loader has it, and jobs are told to take it from there.

    The connector of a job would stay when the job is gone, 10 MB each, since its exactly-once sink never closes the
    client with which it looks for old transactions: after a dozen jobs a TaskManager had no room for another class.
    """
    shutil.rmtree(lib, ignore_errors=True)
    lib.mkdir()
    packaged = [jar for jar in (flink_home() / "lib").glob("*.jar") if "connector-kafka" not in jar.name]
    for jar in (*packaged, *(flink_home() / "opt").glob("flink-python*.jar"), connector):
        (lib / jar.name).symlink_to(jar)


def _settings(folder: Path, ports: Ports) -> dict[str, str | int]:
    return {
        "jobmanager.rpc.address": _HOST,
        "jobmanager.rpc.port": ports.rpc,
        "jobmanager.bind-host": _HOST,
        "jobmanager.memory.process.size": "1200m",
        "rest.address": _HOST,
        "rest.bind-address": _HOST,
        "rest.port": ports.rest,
        "rest.bind-port": str(ports.rest),
        "taskmanager.host": _HOST,
        "taskmanager.bind-host": _HOST,
        "taskmanager.memory.process.size": "1728m",
        # A client lives for seconds and a JobManager does little: what the second compiler costs them never comes back.
        # It was half of the CPU time of a submission.
        "env.java.opts.client": f"{QUICK_START} -XX:+UseSerialGC",
        "env.java.opts.jobmanager": QUICK_START,
        # One that has no room for another class cannot even end by itself: it would stay, and take no job.
        "env.java.opts.taskmanager": "-XX:+ExitOnOutOfMemoryError",
        # One interpreter, and so one GIL, per TaskManager: more of them is how to use more cores.
        "taskmanager.numberOfTaskSlots": 1,
        "parallelism.default": 1,
        "io.tmp.dirs": str(folder / "tmp"),
        "heartbeat.interval": 2_000,
        "heartbeat.timeout": 20_000,
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "state.backend.rocksdb.metrics.estimate-num-keys": "true",
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (folder / "savepoints").as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # So that a JobManager that was killed goes on with its jobs when it is started again.
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": f"{_HOST}:{ports.zookeeper}",
        "high-availability.storageDir": (folder / "ha").as_uri(),
        # A process whose ZooKeeper session is in doubt fails all its jobs, and it is in doubt when nothing was heard for
        # two thirds of this: with the 2 s that a busy machine can be silent for, 6 s were too few. A JobManager that was
        # killed is waited for as long.
        "high-availability.zookeeper.client.session-timeout": 20_000,
        "classloader.parent-first-patterns.additional": "pemja.",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }
