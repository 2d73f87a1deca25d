"""The servers around an installation; tests/conftest.py offers each as a fixture.

``kafka_broker`` and ``topic``, ``postgres``, ``s3_server``, ``chromium``: one of each for a worker
of the tests. Settings for them are made here.
"""

from __future__ import annotations

from tests.kit.receiver import Receiver
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import Postgres
from tests.servers.s3 import S3Server

__all__ = ["KafkaBroker", "Postgres", "Receiver", "S3Server", "on_kafka", "on_postgres", "on_s3"]


def on_kafka(broker: KafkaBroker, topic: str) -> str:
    """Return settings that capture through this broker; the topic is made at the first start."""
    return f"""
        [kafka]
        bootstrap_servers = ["{broker.bootstrap}"]
        topic = "{topic}"
        replication = 1
        """


def on_postgres(server: Postgres) -> str:
    """Return settings with a new, empty database; every call makes another one."""
    name = server.new_name()
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return f"""
        [database]
        url = "{server.tcp_url(name)}"
        """


def on_s3(server: S3Server) -> str:
    """Return settings with a store in a bucket of its own; every call makes another one."""
    options = "\n".join(f'{key} = "{value}"' for key, value in server.options.items())
    return f"""
        [storage]
        root = "{server.new_bucket()}/store"
        local_dir = "local"
        [storage.options]
        {options}
        """
