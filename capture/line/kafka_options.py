"""Connection options of a Kafka broker; needs no client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from driftline.errors import UnavailableError

CONNECT_MS = 5_000
_DEAD_LETTER_PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """The settings' section ``[kafka]``.

    ``session_timeout_ms``: after how long without a heartbeat a sink loses its partitions;
    ``client`` is passed to every client as it is, over all else.
    """

    bootstrap_servers: Sequence[str]
    topic: str = "dl.capture.v1"
    group: str = "driftline-sink"
    partitions: int = 12
    replication: int = 3
    max_message_bytes: int = 4 << 20
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    session_timeout_ms: int = 15_000
    client: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dead_letters(self) -> str:
        """The topic of what could not be sent or read."""
        return f"{self.topic}.dlq"

    def missing_topics(self, there: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Describe the topics that are to be made."""
        wanted = {
            self.topic: self.partitions,
            self.dead_letters: min(self.partitions, _DEAD_LETTER_PARTITIONS),
        }
        settings = {
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(min(2, self.replication)),
            "cleanup.policy": "delete",
        }
        return {
            name: {
                "num_partitions": count,
                "replication_factor": self.replication,
                "configs": settings,
            }
            for name, count in wanted.items()
            if name not in set(there)
        }

    def trouble(self, error: Exception) -> UnavailableError:
        """Describe a client's error in one sentence."""
        servers = ",".join(self.bootstrap_servers)
        # A broker that refuses a client hangs up; the client cannot tell it from one that is away.
        looked_at = ["bootstrap_servers", "security_protocol"]
        looked_at += ["ssl_cafile", "ssl_certfile"] if "SSL" in self.security_protocol else []
        looked_at += ["sasl_username", "sasl_password"] if self.sasl_mechanism else []
        return UnavailableError(
            f'kafka at {servers}, topic "{self.topic}": {type(error).__name__}: {error}; '
            f"if the broker is up, look at {', '.join(looked_at)} of [kafka] in the settings"
        )

    def configured(self, **more: object) -> dict[str, Any]:
        """Return a client's configuration."""
        settings = {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
        }
        return {
            "bootstrap_servers": list(self.bootstrap_servers),
            "security_protocol": self.security_protocol,
            "client_id": "driftline",
            "bootstrap_timeout_ms": CONNECT_MS,
            "reconnect_backoff_max_ms": 1_000,
            **{name: value for name, value in settings.items() if value},
            **more,
            **self.client,
        }
