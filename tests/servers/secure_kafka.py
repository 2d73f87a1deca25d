"""A real Apache Kafka that lets in only who shows a certificate, or a name and a password."""

from __future__ import annotations

from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from tests.servers.kafka import KafkaBroker

__all__ = ["PASSWORD", "USER", "SecureKafka"]

USER = "driftline"
PASSWORD = "not-to-be-seen-anywhere"
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")

PROPERTIES = """
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram} required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required;
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required user_{user}="{password}";
"""


class SecureKafka(KafkaBroker):
    """A broker with the doors SSL (its clients show a certificate) and SASL_SSL.

    Attributes
    ----------
    authority, stranger
        Certificates of the authority that signed the broker's, and of one that did not.
    certificate, key
        What a client shows.
    """

    def __init__(self, folder: Path, libs: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.stranger = folder / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(str(self.stranger))
        client = authority.issue_cert("client@driftline.test")
        self.certificate, self.key = folder / "client.pem", folder / "client.key"
        client.cert_chain_pems[0].write_to_path(str(self.certificate))
        client.private_key_pem.write_to_path(str(self.key))
        server = folder / "server.pem"
        own = authority.issue_cert("127.0.0.1")
        # Kafka reads keys in PKCS #8 only.
        key = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
        parts = [
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            *(pem.bytes() for pem in own.cert_chain_pems),
        ]
        server.write_bytes(b"".join(parts))
        security = "org.apache.kafka.common.security"
        properties = PROPERTIES.format(
            server=server,
            authority=self.authority,
            scram=f"{security}.scram.ScramLoginModule",
            plain=f"{security}.plain.PlainLoginModule",
            user=USER,
            password=PASSWORD,
        )
        scram = [f"{name}=[name={USER},password={PASSWORD}]" for name in MECHANISMS]
        super().__init__(
            folder,
            libs,
            protocols=("SSL", "SASL_SSL"),
            properties=properties,
            format_words=[word for entry in scram for word in ("--add-scram", entry)],
        )
