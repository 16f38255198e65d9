"""Connections to Kafka by kafka-python: made in one place, with errors that say which broker and what to do."""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from integration.kafka.properties import ClientProperties
from schemas.mendable import MendableError

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

_BOOTSTRAP_MS = 6_000

_Client = TypeVar("_Client")


class KafkaError(MendableError):
    """Kafka cannot be reached or refused; the text says which broker, why and what to do."""


class UnreachableError(KafkaError):
    """No broker answers: it may be there again in a while, with nothing changed."""


def arguments(kafka: str, properties: ClientProperties | None) -> dict[str, Any]:
    """Keyword arguments that every kafka-python client takes: where the broker is, and the security settings."""
    check_address(kafka)
    settings = properties.kafka_python() if properties else {}
    if "sasl_mechanism" in settings:
        # At debug level kafka-python writes each request to its log, the one with the password included.
        for name in ("kafka.net", "kafka.protocol"):
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
    return {"bootstrap_servers": kafka.split(","), "bootstrap_timeout_ms": _BOOTSTRAP_MS} | settings


def opened(kind: type[_Client], *topics: str, **settings: Any) -> _Client:
    """A consumer or an admin client of kafka-python. One that finds no broker would leave its thread behind."""
    made = kind.__new__(kind)
    try:
        kind.__init__(made, *topics, **settings)
    except BaseException:
        connections = getattr(made, "_client", None)
        if connections is not None:
            connections.close()
        raise
    return made


def check_address(kafka: str) -> None:
    """Raises KafkaError when it is not HOST:PORT or several of them with commas."""
    for part in kafka.split(","):
        host, colon, port = part.strip().rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise KafkaError(
                f"{part.strip() or 'nothing'} is not a broker's address: write HOST:PORT, for example 127.0.0.1:9092."
            )


@contextmanager
def admin_client(kafka: str, properties: ClientProperties | None = None) -> Iterator["KafkaAdminClient"]:
    """A client for topics and settings. Every failure inside the block becomes a KafkaError."""
    from kafka import KafkaAdminClient

    with explained(kafka), opened(KafkaAdminClient, **arguments(kafka, properties)) as client:
        yield client


@contextmanager
def producer(kafka: str, properties: ClientProperties | None = None, **settings: Any) -> Iterator["KafkaProducer"]:
    """An idempotent producer that waits for all replicas, closed at the end."""
    from kafka import KafkaProducer

    with explained(kafka):
        made = KafkaProducer(**arguments(kafka, properties) | {"acks": "all"} | settings)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def reader(kafka: str, properties: ClientProperties | None = None, **settings: Any) -> Iterator["KafkaConsumer"]:
    """A consumer of committed records without a group: it sees all partitions that it is given, and commits nothing."""
    from kafka import KafkaConsumer

    with explained(kafka):
        fixed = {"isolation_level": "read_committed", "enable_auto_commit": False, "group_id": None}
        made = opened(KafkaConsumer, **arguments(kafka, properties) | fixed | settings)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def explained(kafka: str) -> Iterator[None]:
    """Turns kafka-python's errors into sentences. They name no setting, so no secret can be in them."""
    from kafka import errors

    last = _LastWarning()
    logger = logging.getLogger("kafka")
    logger.addHandler(last)
    try:
        yield
    except (errors.KafkaTimeoutError, errors.KafkaConnectionError) as error:
        raise UnreachableError(_unreachable(kafka, last.text or str(error))) from error
    except errors.AuthorizationError as error:
        raise KafkaError(
            f"Kafka at {kafka} refused: {type(error).__name__}. The user of --client-properties lacks this right; "
            "an administrator of the cluster gives it."
        ) from error
    except errors.SaslAuthenticationFailedError as error:
        raise KafkaError(_unreachable(kafka, str(error))) from error
    except errors.KafkaError as error:
        raise KafkaError(f"Kafka at {kafka}: {error}") from error
    finally:
        logger.removeHandler(last)


class _LastWarning(logging.Handler):
    """kafka-python tries until its time is up and then says only that: why each try failed is in its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        if "not ready; waiting" not in record.msg and not record.msg.startswith("Bootstrap failed"):
            self.text = re.sub(r"^Bootstrap connection to \S+ failed: | \(backoff .*\)$", "", record.getMessage())


def _unreachable(kafka: str, why: str) -> str:
    if "SASL_AUTHENTICATION_FAILED" in why or "SaslAuthenticationFailed" in why:
        return f"Kafka at {kafka} does not accept the user or the password of --client-properties."
    if "socket disconnected" in why:
        return (
            f"Kafka at {kafka} closes the connection without a word. It does so when it does not accept the user or "
            "the password, and when its listener speaks another security.protocol: check both in --client-properties."
        )
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return (
            f"Kafka at {kafka} shows a certificate that is not trusted: {why}. Name its authority with "
            "ssl.truststore.location in --client-properties."
        )
    return (
        f"Kafka at {kafka} cannot be reached: {why}. Is the broker up, the address right, and does its listener speak "
        "the security.protocol of --client-properties?"
    )


def answers(kafka: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker without security answers a request for its metadata."""
    host, _, port = kafka.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s):
            pass
        with admin_client(kafka) as client:
            return bool(client.describe_cluster()["brokers"])
    except (OSError, KafkaError):
        return False
