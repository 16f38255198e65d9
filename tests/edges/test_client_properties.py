"""One properties file for two kinds of clients: what each gets, what is refused and why, and that no secret shows."""

from pathlib import Path

import pytest

from integration.kafka.client import KafkaError, check_address
from integration.kafka.java_properties import parse_login, parse_properties
from integration.kafka.properties import PropertiesError, load_client_properties, parse_client_properties

_LOGIN = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required"
_PLAIN = f'security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n{_LOGIN} username="ann" password="hunter2";\n'


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1", {"a": "1"}),
        ("a = 1 ", {"a": "1 "}),
        ("a:1\nb 2\nc", {"a": "1", "b": "2", "c": ""}),
        ("# no\n! no\n\n  a=1", {"a": "1"}),
        ("a=one, \\\n   two", {"a": "one, two"}),
        ("a=\\\\\nb=2", {"a": "\\", "b": "2"}),
        ("a=1\na=2", {"a": "2"}),
        (r"a\=b=\u00e4\t\:", {"a=b": "ä\t:"}),
        ("a==b", {"a": "=b"}),
        ("a=1\r\nb=2\r", {"a": "1", "b": "2"}),
        ("a=x\\", {"a": "x"}),
        ("# ends with \\\na=1", {"a": "1"}),
    ],
)
def test_properties_are_read_as_java_reads_them(text: str, values: dict[str, str]) -> None:
    assert parse_properties(text) == values


def test_a_broken_escape() -> None:
    with pytest.raises(PropertiesError) as caught:
        parse_client_properties(r"client.id=\u12", "c.properties")
    assert str(caught.value) == r"c.properties cannot be read: \u must be followed by four hexadecimal digits."


def test_logins_with_quotes_and_without() -> None:
    assert parse_login("a.B required user=ann pass='x y';") == ("a.B", {"user": "ann", "pass": "x y"})
    assert parse_login(r'a.B required pass="a\"b\\c";') == ("a.B", {"pass": 'a"b\\c'})
    assert parse_login("a.B required;") == ("a.B", {})


def test_what_kafka_python_gets() -> None:
    arguments = parse_client_properties(_PLAIN + "request.timeout.ms=5000").kafka_python()
    assert arguments == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "hunter2",
        "request_timeout_ms": 5000,
    }


def test_what_flink_gets_with_the_class_names_of_its_jar() -> None:
    options = parse_client_properties(_PLAIN + "ssl.protocol=TLSv1.3").flink_options()
    assert options["properties.sasl.jaas.config"] == (
        "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="ann" password="hunter2";'
    )
    assert options["properties.ssl.protocol"] == "TLSv1.3"


def test_class_names_that_are_shaded_already_stay() -> None:
    name = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.plain.PlainLoginModule required;"
    found = parse_client_properties(f"sasl.jaas.config={name}").flink_options()
    assert found["properties.sasl.jaas.config"] == name


def test_no_secret_in_what_is_shown() -> None:
    text = _PLAIN + "ssl.truststore.password=hunter2\nssl.keystore.key=hunter2\nssl.key.password=hunter2"
    properties = parse_client_properties(text)
    assert "hunter2" not in repr(properties) + str(properties) + str(properties.shown())
    assert "hunter2" not in repr(properties.kafka_python())
    assert properties.shown()["sasl.mechanism"] == "PLAIN"


def test_settings_of_java_alone_are_listed() -> None:
    assert parse_client_properties("linger.ms=5\nclient.id=x\nssl.protocol=TLS").java_only == [
        "linger.ms",
        "ssl.protocol",
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "sasl.mecanism=PLAIN",
            "c.properties: no Kafka client setting is called sasl.mecanism; did you mean `sasl.mechanism`?",
        ),
        ("frobnicate=1", "c.properties: no Kafka client setting is called frobnicate."),
        (
            "bootstrap.servers=a:1",
            "c.properties: bootstrap.servers cannot be set here: name the brokers with --kafka. Take the line out.",
        ),
        (
            "isolation.level=read_uncommitted",
            "c.properties: isolation.level cannot be set here: results are always read committed. Take the line out.",
        ),
    ],
)
def test_keys_that_are_refused(text: str, error: str) -> None:
    with pytest.raises(PropertiesError) as caught:
        parse_client_properties(text, "c.properties")
    assert str(caught.value) == error


_SASL = "security.protocol=SASL_PLAINTEXT\n"
_OAUTH = f"{_SASL}sasl.mechanism=OAUTHBEARER\n{_LOGIN}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("security.protocol=TLS", "security.protocol is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL."),
        (
            _SASL,
            "sasl.mechanism is not set, so Kafka takes GSSAPI, which is not supported here; these are: PLAIN, "
            "SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER.",
        ),
        (
            f"{_SASL}sasl.mechanism=AWS_MSK_IAM",
            "sasl.mechanism is not supported here; these are: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER.",
        ),
        (f"{_SASL}sasl.mechanism=PLAIN", "sasl.jaas.config is missing: it names the user and the password."),
        (f'{_SASL}sasl.mechanism=PLAIN\n{_LOGIN} username="ann";', "sasl.jaas.config has no password."),
        (
            f"{_SASL}sasl.mechanism=PLAIN\nsasl.jaas.config=hunter2",
            'sasl.jaas.config cannot be read: it is not of the form: CLASS required name="value" ... ;.',
        ),
        (
            f'{_OAUTH} clientId="a" clientSecret="hunter2";',
            "sasl.oauthbearer.token.endpoint.url is needed as an http(s) address: kafka-python gets tokens by client "
            "credentials there only.",
        ),
        (
            f'{_OAUTH} clientId="a";\nsasl.oauthbearer.token.endpoint.url=https://idp.example/token',
            "sasl.jaas.config has no clientSecret.",
        ),
        ("request.timeout.ms=soon", "request.timeout.ms is not a whole number."),
    ],
)
def test_settings_that_kafka_python_cannot_follow(text: str, error: str) -> None:
    with pytest.raises(PropertiesError) as caught:
        parse_client_properties(text, "c.properties").kafka_python()
    assert str(caught.value) == f"c.properties: {error}"


def test_a_java_key_store_is_refused_with_the_way_out() -> None:
    text = "security.protocol=SSL\nssl.truststore.location=/etc/trust.jks\nssl.truststore.password=hunter2"
    properties = parse_client_properties(text, "c.properties")
    assert properties.flink_options()["properties.ssl.truststore.location"] == "/etc/trust.jks"
    with pytest.raises(PropertiesError) as caught:
        properties.kafka_python()
    assert str(caught.value) == (
        "c.properties: ssl.truststore.location is a JKS store. Flink's client reads it, kafka-python does not, and "
        "topics, config and status go through kafka-python. Turn it into PEM, which both read:\n"
        "  keytool -importkeystore -srckeystore /etc/trust.jks -destkeystore store.p12 -deststoretype PKCS12\n"
        "  openssl pkcs12 -in store.p12 -nokeys -out truststore.pem\n"
        "then set ssl.truststore.type=PEM and ssl.truststore.location=truststore.pem, and take out "
        "ssl.truststore.password."
    )


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    text = f"security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={tmp_path / 'ca.pem'}"
    with pytest.raises(PropertiesError, match="a certificate or key cannot be used"):
        parse_client_properties(text).kafka_python()


def test_the_host_name_is_checked_unless_it_is_turned_off() -> None:
    on = parse_client_properties("security.protocol=SSL").kafka_python()["ssl_context"]
    off = parse_client_properties("security.protocol=SSL\nssl.endpoint.identification.algorithm=")
    assert on.check_hostname is True
    assert off.kafka_python()["ssl_context"].check_hostname is False


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PropertiesError, match="cannot be read: No such file or directory"):
        load_client_properties(tmp_path / "none.properties")
    (tmp_path / "store.jks").write_bytes(b"\xfe\xed\xfe\xed")
    with pytest.raises(PropertiesError, match="is not UTF-8 text"):
        load_client_properties(tmp_path / "store.jks")


@pytest.mark.parametrize("address", ["", "broker", "broker:", ":9092", "broker:ninety", "a:1,b", "a:70000"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(KafkaError, match="is not a broker's address: write HOST:PORT"):
        check_address(address)
