"""One Java-style properties file for every Kafka client of a job: Flink's connector and kafka-python.

What it may hold is what concerns the connection: security.protocol, sasl.*, ssl.* and client tuning. What Watchgate
decides itself (bootstrap.servers, group.id, isolation.level, transactions) is refused, and so is a key that no Kafka
client knows: a misspelt `sasl.mecanism` must not fall back to something else.

A key that only Java's client has goes to Flink and is left out for kafka-python (`java_only` lists them). Where that
would change what is secure or who one is, kafka-python is refused with the reason instead:

    JKS and PKCS12 stores      kafka-python reads PEM only
    GSSAPI, AWS_MSK_IAM        not supported here
    OAUTHBEARER                by client credentials at sasl.oauthbearer.token.endpoint.url only
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.kafka.java_properties import parse_login, parse_properties
from schemas.mendable import MendableError
from schemas.problem import did_you_mean

_SHADED = "org.apache.flink.kafka.shaded."

_OURS = {
    "bootstrap.servers": "name the brokers with --kafka",
    "group.id": "each reader has its own group",
    "isolation.level": "results are always read committed",
    "enable.auto.commit": "offsets are committed with the results",
    "auto.offset.reset": "say where to start with --from",
    "transactional.id": "the sink names its transactions",
    "transaction.timeout.ms": "it is taken from the broker's maximum",
    "enable.idempotence": "it is always on",
    "acks": "it is always all",
    "key.serializer": "records are bytes",
    "value.serializer": "records are bytes",
    "key.deserializer": "records are bytes",
    "value.deserializer": "records are bytes",
}

_TUNING = {
    "client.id": str,
    "request.timeout.ms": int,
    "connections.max.idle.ms": int,
    "metadata.max.age.ms": int,
    "reconnect.backoff.ms": int,
    "reconnect.backoff.max.ms": int,
    "retry.backoff.ms": int,
}
"""Tuning that both have, under the same name with underscores, in every kind of kafka-python client."""

_SECURITY = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.login.callback.handler.class",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.certificates",
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
}

_JAVA_ONLY = {
    "client.dns.lookup", "client.rack", "compression.type", "batch.size", "linger.ms", "buffer.memory",
    "max.block.ms", "max.request.size", "delivery.timeout.ms", "retries", "max.in.flight.requests.per.connection",
    "fetch.min.bytes", "fetch.max.bytes", "fetch.max.wait.ms", "max.partition.fetch.bytes", "max.poll.records",
    "receive.buffer.bytes", "send.buffer.bytes", "retry.backoff.max.ms", "socket.connection.setup.timeout.ms",
    "socket.connection.setup.timeout.max.ms", "default.api.timeout.ms", "metric.reporters", "metrics.num.samples",
    "metrics.recording.level", "metrics.sample.window.ms", "enable.metrics.push", "security.providers",
    "ssl.protocol", "ssl.enabled.protocols", "ssl.cipher.suites", "ssl.provider", "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm", "ssl.secure.random.implementation", "ssl.engine.factory.class",
    "sasl.client.callback.handler.class", "sasl.login.class", "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms", "sasl.login.refresh.buffer.seconds", "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor", "sasl.login.refresh.window.jitter", "sasl.login.retry.backoff.ms",
    "sasl.login.retry.backoff.max.ms", "sasl.oauthbearer.scope.claim.name", "sasl.oauthbearer.sub.claim.name",
    "sasl.oauthbearer.header.urlencode", "metadata.recovery.strategy", "metadata.recovery.rebootstrap.trigger.ms",
}  # fmt: skip

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_SECRET_WORDS = ("password", "secret", "jaas", "keystore.key", "token")


class PropertiesError(MendableError):
    """The file or one of its settings cannot be used; the text never shows a value."""


class Secret(str):
    """A text whose repr hides it: kafka-python logs its whole configuration at debug level."""

    def __repr__(self) -> str:
        return "[hidden]"


@dataclass(frozen=True)
class ClientProperties:
    """The settings of a file. Its repr and `shown` hide secrets."""

    values: Mapping[str, str] = field(repr=False)
    name: str = "client properties"

    @property
    def java_only(self) -> list[str]:
        """Keys that kafka-python has no counterpart of: they hold for Flink's clients alone."""
        return sorted(set(self.values) & _JAVA_ONLY)

    def shown(self) -> dict[str, str]:
        """For people: secrets as [hidden]."""
        return {key: "[hidden]" if is_secret(key) else value for key, value in self.values.items()}

    def __repr__(self) -> str:
        return f"ClientProperties({self.name!r}, {self.shown()!r})"

    def flink_options(self) -> dict[str, str]:
        """Options of Flink's Kafka table connector: `properties.*`, class names as the connector's jar has them.

        The values hold secrets: they belong into a table's options, never into a log or a plan.
        """
        options = {}
        for key, value in self.values.items():
            names_class = key in ("sasl.jaas.config", "security.providers") or key.endswith(".class")
            if names_class and _SHADED not in value:
                value = value.replace("org.apache.kafka.", f"{_SHADED}org.apache.kafka.")
            options[f"properties.{key}"] = value
        return options

    def kafka_python(self) -> dict[str, Any]:
        """Keyword arguments of every kafka-python client. Raises PropertiesError for what kafka-python cannot do."""
        from integration.kafka.tls import ssl_context

        arguments: dict[str, Any] = {}
        protocol = self.values.get("security.protocol", "PLAINTEXT").upper()
        if protocol not in _PROTOCOLS:
            raise self._error("security.protocol", f"is none of {', '.join(_PROTOCOLS)}")
        arguments["security_protocol"] = protocol
        if protocol.endswith("SSL"):
            arguments["ssl_context"] = ssl_context(self)
        if protocol.startswith("SASL"):
            arguments |= self._sasl()
        for key in set(self.values) & set(_TUNING):
            try:
                arguments[key.replace(".", "_")] = _TUNING[key](self.values[key])
            except ValueError:
                raise self._error(key, "is not a whole number") from None
        return arguments

    def _sasl(self) -> dict[str, Any]:
        mechanism = self.values.get("sasl.mechanism", "GSSAPI").upper()
        if mechanism not in _MECHANISMS:
            unset = "sasl.mechanism" not in self.values
            what = "is not set, so Kafka takes GSSAPI, which is" if unset else "is"
            raise self._error("sasl.mechanism", f"{what} not supported here; these are: {', '.join(_MECHANISMS)}")
        if "sasl.jaas.config" not in self.values:
            raise self._error("sasl.jaas.config", "is missing: it names the user and the password")
        try:
            _, login = parse_login(self.values["sasl.jaas.config"])
        except ValueError as error:
            raise self._error("sasl.jaas.config", f"cannot be read: {error}") from None
        if mechanism == "OAUTHBEARER":
            return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": self._tokens(login)}
        for option in ("username", "password"):
            if option not in login:
                raise self._error("sasl.jaas.config", f"has no {option}")
        return {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": login["username"],
            "sasl_plain_password": Secret(login["password"]),
        }

    def _tokens(self, login: Mapping[str, str]) -> object:
        from integration.kafka.oauth import token_provider

        endpoint = self.values.get("sasl.oauthbearer.token.endpoint.url", "")
        if not endpoint.startswith(("https://", "http://")):
            raise self._error(
                "sasl.oauthbearer.token.endpoint.url",
                "is needed as an http(s) address: kafka-python gets tokens by client credentials there only",
            )
        for option in ("clientId", "clientSecret"):
            if option not in login:
                raise self._error("sasl.jaas.config", f"has no {option}")
        return token_provider(endpoint, login["clientId"], Secret(login["clientSecret"]), login.get("scope"))

    def _error(self, key: str, why: str) -> PropertiesError:
        return PropertiesError(f"{self.name}: {key} {why}.")


def is_secret(key: str) -> bool:
    """Whether the value of a key must not be shown."""
    return any(word in key for word in _SECRET_WORDS) and not key.endswith((".url", ".class"))


def parse_client_properties(text: str, name: str = "client properties") -> ClientProperties:
    """The settings of a text. Raises PropertiesError for a key that is ours or nobody's."""
    try:
        values = parse_properties(text)
    except ValueError as error:
        raise PropertiesError(f"{name} cannot be read: {error}.") from None
    known = _SECURITY | _JAVA_ONLY | set(_TUNING)
    for key in values:
        if key in _OURS:
            raise PropertiesError(f"{name}: {key} cannot be set here: {_OURS[key]}. Take the line out.")
        if key not in known:
            guess = did_you_mean(key, known)
            raise PropertiesError(f"{name}: no Kafka client setting is called {key}{f'; {guess}' if guess else '.'}")
    return ClientProperties(values, name)


def load_client_properties(path: Path) -> ClientProperties:
    """The settings of a file in UTF-8. Raises PropertiesError."""
    try:
        return parse_client_properties(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise PropertiesError(
            f"{path} is not UTF-8 text. A key store is named in the file, it is not the file."
        ) from None
    except OSError as error:
        raise PropertiesError(f"client properties {path} cannot be read: {error.strerror}.") from None
