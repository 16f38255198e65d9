"""One properties file for kafka-python and for Flink's client, against a listener that asks for TLS and a login."""

import logging
import shutil
from collections.abc import Iterator

import pytest

from integration.jars import Jars
from integration.kafka.client import KafkaError, admin_client, producer
from integration.kafka.properties import parse_client_properties
from integration.kafka.topics import create_topics
from tests.cluster.secure import PASSWORD, Secure, start_secure, token_server

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the broker's certificate"),
]


@pytest.fixture(scope="module")
def secure(jars: Jars, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    broker, made = start_secure(tmp_path_factory.mktemp("secure"), jars)
    yield made
    broker.stop()


@pytest.mark.parametrize(
    ("mechanism", "module"), [("PLAIN", "plain.PlainLoginModule"), ("SCRAM-SHA-512", "scram.ScramLoginModule")]
)
def test_a_user_with_a_password_over_tls(secure: Secure, prefix: str, mechanism: str, module: str) -> None:
    quoted = PASSWORD.replace('"', '\\\\"')
    text = secure.properties(mechanism, module, f'username="ann" password="{quoted}"')
    assert create_topics(secure.address, prefix, properties=parse_client_properties(text)).timeline


def test_a_token_by_client_credentials(secure: Secure, prefix: str) -> None:
    with token_server() as (endpoint, asked):
        text = secure.properties(
            "OAUTHBEARER",
            "oauthbearer.OAuthBearerLoginModule",
            'clientId="shop" clientSecret="hush" scope="kafka"',
        )
        properties = parse_client_properties(f"{text}sasl.oauthbearer.token.endpoint.url={endpoint}\n")
        assert create_topics(secure.address, prefix, properties=properties).timeline
    assert asked[0] == "grant_type=client_credentials&scope=kafka"


def test_certificates_inside_the_properties(secure: Secure) -> None:
    lines = secure.certificate.read_text().strip().replace("\n", "\\n")
    text = secure.plain_properties().replace(secure.tls(), f"ssl.truststore.certificates={lines}\n")
    with admin_client(secure.address, parse_client_properties(text)) as admin:
        assert admin.list_topics() is not None


def test_a_wrong_password_is_named_as_such_and_never_shown(secure: Secure, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka")
    properties = parse_client_properties(secure.plain_properties("hunter2"))
    with pytest.raises(KafkaError) as caught, admin_client(secure.address, properties):
        pass
    assert "does not accept the user or the password" in str(caught.value)
    assert "--client-properties" in str(caught.value)
    assert "hunter2" not in caplog.text


def test_a_certificate_that_nobody_vouches_for(secure: Secure) -> None:
    text = secure.plain_properties().replace(secure.tls(), "")
    with (
        pytest.raises(KafkaError, match=r"shows a certificate that is not trusted: .*ssl\.truststore\.location"),
        producer(secure.address, parse_client_properties(text)),
    ):
        pass


def test_a_client_without_security_at_a_secure_listener(secure: Secure) -> None:
    with (
        pytest.raises(KafkaError, match="--client-properties"),
        admin_client(secure.address),
    ):
        pass
