"""The TLS settings of Java's client as a Python SSL context: certificates in PEM, in files or inside the settings."""

import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.kafka.properties import ClientProperties


def ssl_context(properties: "ClientProperties") -> ssl.SSLContext:
    """TLS 1.2 or later; the broker's certificate and host name are checked unless
    ssl.endpoint.identification.algorithm is set to nothing, which turns off the host name alone.

    Raises PropertiesError for stores that Python cannot read, with the command that turns them into PEM.
    """
    from integration.kafka.properties import PropertiesError

    values = properties.values
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = bool(values.get("ssl.endpoint.identification.algorithm", "https").strip())
    try:
        _trust(context, properties)
        _identify(context, properties)
    except OSError as error:  # ssl.SSLError is one
        raise PropertiesError(f"{properties.name}: a certificate or key cannot be used: {error}.") from None
    return context


def _trust(context: ssl.SSLContext, properties: "ClientProperties") -> None:
    values = properties.values
    if "ssl.truststore.certificates" in values:
        context.load_verify_locations(cadata=values["ssl.truststore.certificates"])
    elif "ssl.truststore.location" in values:
        _require_pem(properties, "truststore")
        context.load_verify_locations(values["ssl.truststore.location"])
    else:
        context.load_default_certs()


def _identify(context: ssl.SSLContext, properties: "ClientProperties") -> None:
    values = properties.values
    password = values.get("ssl.key.password")
    if "ssl.keystore.key" in values:
        # Python takes a certificate from a file only: this one is readable by its owner and gone right after.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(values["ssl.keystore.key"] + "\n" + values.get("ssl.keystore.certificate.chain", "") + "\n")
            file.flush()
            context.load_cert_chain(file.name, password=password)
    elif "ssl.keystore.location" in values:
        _require_pem(properties, "keystore")
        context.load_cert_chain(values["ssl.keystore.location"], password=password)


def _require_pem(properties: "ClientProperties", store: str) -> None:
    from integration.kafka.properties import PropertiesError

    kind = properties.values.get(f"ssl.{store}.type", "JKS").upper()
    if kind == "PEM":
        return
    path = Path(properties.values[f"ssl.{store}.location"])
    keep = "-nokeys" if store == "truststore" else ""
    raise PropertiesError(
        f"{properties.name}: ssl.{store}.location is a {kind} store. Flink's client reads it, kafka-python does not, "
        "and topics, config and status go through kafka-python. Turn it into PEM, which both read:\n"
        f"  keytool -importkeystore -srckeystore {path} -destkeystore store.p12 -deststoretype PKCS12\n"
        f"  openssl pkcs12 -in store.p12 {keep} -out {store}.pem\n"
        f"then set ssl.{store}.type=PEM and ssl.{store}.location={store}.pem, and take out ssl.{store}.password."
    )
