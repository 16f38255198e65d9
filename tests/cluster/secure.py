"""A broker with a listener that asks for TLS and a password or a token, and what its clients need to know."""

import subprocess
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import time

import orjson

from integration.jars import Jars
from integration.kafka.broker import Broker, start_broker
from integration.kafka.client import admin_client
from integration.processes import free_ports

_LOGIN = "org.apache.kafka.common.security"
PASSWORD = 'a "quoted" pass;word'


@dataclass(frozen=True)
class Secure:
    """`plain` is the address without security, for setting up; `address` the one that the test is about."""

    plain: str
    address: str
    certificate: Path

    def tls(self) -> str:
        return f"ssl.truststore.type=PEM\nssl.truststore.location={self.certificate}\n"

    def properties(self, mechanism: str, module: str, options: str) -> str:
        return (
            f"security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\n{self.tls()}"
            f"sasl.jaas.config={_LOGIN}.{module} required \\\n   {options};\n"
        )

    def plain_properties(self, password: str = PASSWORD) -> str:
        quoted = password.replace('"', '\\\\"')
        return self.properties("PLAIN", "plain.PlainLoginModule", f'username="ann" password="{quoted}"')


def start_secure(folder: Path, jars: Jars) -> tuple[Broker, Secure]:
    """A broker that takes ann with PASSWORD by PLAIN and SCRAM-SHA-512, and any unsigned token."""
    certificate, key = _certificate(folder)
    port, (secure,) = free_ports(1)[0], free_ports(1)
    quoted = PASSWORD.replace('"', '\\"')
    at = "listener.name.secure."
    settings = {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{{controller}}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        f"{at}sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
        f"{at}plain.sasl.jaas.config": f'{_LOGIN}.plain.PlainLoginModule required user_ann="{quoted}";',
        f"{at}scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{at}oauthbearer.sasl.jaas.config": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required;",
        f"{at}ssl.keystore.type": "PEM",
        f"{at}ssl.keystore.certificate.chain": certificate.read_text().strip(),
        f"{at}ssl.keystore.key": key.read_text().strip(),
    }
    controller = free_ports(1)[0]
    settings["listeners"] = settings["listeners"].format(controller=controller)
    settings["controller.quorum.voters"] = f"1@127.0.0.1:{controller}"
    broker = start_broker(folder / "kafka", jars, port=port, settings=settings)
    from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

    with admin_client(broker.address) as admin:
        admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion("ann", ScramMechanism.SCRAM_SHA_512, PASSWORD.encode())]
        )
    return broker, Secure(broker.address, f"127.0.0.1:{secure}", certificate)


@contextmanager
def token_server() -> Iterator[tuple[str, list[str]]]:
    """An endpoint that gives unsigned tokens to shop/hush, and the requests that it got."""
    asked: list[str] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            allowed = self.headers["Authorization"] == "Basic c2hvcDpodXNo"
            now = int(time())
            claims = {"sub": "shop", "iat": now, "exp": now + 300}
            parts = (urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in ({"alg": "none"}, claims))
            body = orjson.dumps({"access_token": ".".join(parts) + ".", "expires_in": 300} if allowed else {})
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", asked
    finally:
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "broker.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
