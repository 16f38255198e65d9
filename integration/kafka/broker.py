"""A real Kafka broker on this machine: one KRaft node from Maven's jars, for `watchgate local` and for tests.

It listens on 127.0.0.1 only. A folder is one broker: its data, its settings and logs, and `broker.json` with the ports
and the process, by which a later command finds it. A broker that was stopped or killed starts again on the same ports
with the same data.
"""

import json
import logging
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from integration.jars import Jars
from integration.java import Java, find_java
from integration.kafka.client import answers
from integration.processes import Started, free_ports, port_is_free, start, tail_of
from schemas.mendable import MendableError

_STATE = "broker.json"
_READY_S = 90
_FREED_S = 20
"""How long the ports of a broker that was killed may stay taken: its process is gone before all its threads are."""
_HEAP = "512m"

_LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c{1} %m%n
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = WARN
"""


class BrokerError(MendableError):
    """The broker does not start or is not there; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that was started. `port` is for clients, `controller_port` the broker's own."""

    folder: Path
    port: int
    controller_port: int
    process: Started

    @property
    def address(self) -> str:
        """What clients take as `--kafka`."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    @property
    def alive(self) -> bool:
        return self.process.alive

    def stop(self) -> None:
        """Ends it in order; data and ports stay for the next start."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()


def start_broker(
    folder: Path,
    jars: Jars,
    *,
    port: int = 0,
    transaction_max_timeout_ms: int = 900_000,
    settings: Mapping[str, str] | None = None,
) -> Broker:
    """Starts a broker and returns when it answers, about 4 s; a running one is returned as it is. One that is ending is
    waited for.

    `port` 0: the one of the last start in this folder, else a free one. `settings` are lines of server.properties that
    override ours. Raises BrokerError with the end of the broker's log.
    """
    found = find_broker(folder)
    if found and _answers(found):
        return found
    java = find_java()
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    port, controller = _ports(port, found)
    properties = folder / "server.properties"
    _write(properties, _settings(folder, port, controller, transaction_max_timeout_ms) | dict(settings or {}))
    (folder / "log4j2.properties").write_text(_LOG4J)
    if not (folder / "data" / "meta.properties").exists():
        _format(java, jars, folder, properties)
    process = start(_command(java, jars, folder, "kafka.Kafka", str(properties)), folder / "broker.log", {}, folder)
    broker = Broker(folder, port, controller, process)
    _save(broker)
    _await(broker)
    return broker


def find_broker(folder: Path) -> Broker | None:
    """The broker that was last started in a folder, alive or not; None when there never was one."""
    try:
        state = json.loads((folder / _STATE).read_text())
        return Broker(folder, state["port"], state["controller_port"], Started(state["pid"], state["began"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise BrokerError(f"{folder / _STATE} cannot be read: {error}. Remove it if no broker of it runs.") from None


def _ports(port: int, last: Broker | None) -> tuple[int, int]:
    if last and port in (0, last.port):
        deadline = time.monotonic() + _FREED_S
        while not (port_is_free(last.port) and port_is_free(last.controller_port)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            return last.port, last.controller_port
    client, controller = free_ports(2)
    if port and not port_is_free(port):
        raise BrokerError(f"port {port} of 127.0.0.1 is taken. Name another one, or leave it out to get a free one.")
    return port or client, controller


def _settings(folder: Path, port: int, controller: int, transaction_max_timeout_ms: int) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(folder / "data"),
        "log.message.timestamp.type": "LogAppendTime",
        "auto.create.topics.enable": "false",
        "transaction.max.timeout.ms": str(transaction_max_timeout_ms),
        # One node: nothing can be replicated, and few partitions of its own topics make it start sooner.
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": "67108864",
        # After a kill the controller waits this long before it lets the broker come back.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }


def _write(path: Path, settings: Mapping[str, str]) -> None:
    path.touch(mode=0o600)  # settings may hold passwords
    path.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in settings.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _command(java: Java, jars: Jars, folder: Path, main: str, *arguments: str) -> list[str]:
    log4j = f"-Dlog4j2.configurationFile=file:{folder / 'log4j2.properties'}"
    options = [f"-Xmx{_HEAP}", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", log4j]
    return [str(java.executable), *options, "-cp", jars.broker_classpath, main, *arguments]


def _format(java: Java, jars: Jars, folder: Path, properties: Path) -> None:
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    arguments = ("format", f"--cluster-id={cluster}", "-c", str(properties))  # with =: an id may begin with "-"
    log = folder / "format.log"
    run = start(_command(java, jars, folder, "kafka.tools.StorageTool", *arguments), log, {}, folder)
    if not run.wait_ended(60):
        run.kill()
    if not (folder / "data" / "meta.properties").exists():
        raise BrokerError(
            f"the broker's data folder {folder / 'data'} could not be prepared. {log} ends with:\n{tail_of(log)}"
        )


def _save(broker: Broker) -> None:
    state: dict[str, object] = {"port": broker.port, "controller_port": broker.controller_port}
    state |= {"pid": broker.process.pid, "began": broker.process.began}
    (broker.folder / _STATE).write_text(json.dumps(state))


def _await(broker: Broker) -> None:
    try:
        if not _answers(broker):
            raise BrokerError(f"the broker ended. {broker.log} ends with:\n{tail_of(broker.log)}")
    except BrokerError:
        broker.kill()
        raise


def _answers(broker: Broker) -> bool:
    """True when it answers, now or soon; False when its process ends. Raises BrokerError when it does neither."""
    deadline = time.monotonic() + _READY_S
    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # refused connections are what waiting looks like
    try:
        while broker.alive:
            if answers(broker.address):
                return True
            if time.monotonic() > deadline:
                end = tail_of(broker.log)
                raise BrokerError(f"the broker did not answer within {_READY_S} s. {broker.log} ends with:\n{end}")
            time.sleep(0.1)
        return False
    finally:
        logger.setLevel(level)
