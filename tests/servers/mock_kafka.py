"""librdkafka's own mock of a broker, for refusals that a real one cannot be made to give.

It comes with the package confluent-kafka; its symbols are those of ``rdkafka_mock.h``.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import confluent_kafka

__all__ = ["API_VERSION", "MockKafka"]

API_VERSION = (2, 3)  # The newest of kafka-python's that the mock can answer.
_PRODUCE = 0
_NAME_BYTES = 512


class MockKafka:
    """A broker that refuses what it is told to."""

    def __init__(self) -> None:
        (path,) = (
            Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*.so*")
        )
        self._library = ctypes.CDLL(str(path))
        for name in ("conf_new", "new", "mock_cluster_new"):
            getattr(self._library, f"rd_kafka_{name}").restype = ctypes.c_void_p
        reason = ctypes.create_string_buffer(_NAME_BYTES)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        client = self._library.rd_kafka_new(0, conf, reason, ctypes.c_size_t(_NAME_BYTES))
        assert client, reason.value
        self._client = ctypes.c_void_p(client)
        self._mock = ctypes.c_void_p(
            self._library.rd_kafka_mock_cluster_new(self._client, ctypes.c_int(1))
        )
        bootstraps = self._library.rd_kafka_mock_cluster_bootstraps
        bootstraps.restype = ctypes.c_char_p
        self.bootstrap = bootstraps(self._mock).decode()

    def make_topic(self, name: str) -> None:
        """Make a topic of one partition."""
        self._library.rd_kafka_mock_topic_create(
            self._mock, name.encode(), ctypes.c_int(1), ctypes.c_int(1)
        )

    def refuse(self, *codes: int) -> None:
        """Answer the next requests to store with these error codes, one each; 0 accepts."""
        self._library.rd_kafka_mock_push_request_errors_array(
            self._mock,
            ctypes.c_int16(_PRODUCE),
            ctypes.c_size_t(len(codes)),
            (ctypes.c_int * len(codes))(*codes),
        )

    def close(self) -> None:
        """End it."""
        self._library.rd_kafka_mock_cluster_destroy(self._mock)
        self._library.rd_kafka_destroy(self._client)
