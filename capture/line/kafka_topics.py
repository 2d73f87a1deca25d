"""Creates missing Kafka topics, and looks up their partitions."""

from __future__ import annotations

import logging
from contextlib import suppress

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from driftline.capture.line.kafka_options import KafkaOptions

log = logging.getLogger(__name__)


def make_topics(options: KafkaOptions) -> None:
    """Make the topics that are missing; those that are there stay as they are."""
    admin = KafkaAdminClient(**options.configured())
    try:
        if missing := options.missing_topics(admin.list_topics()):
            with suppress(TopicAlreadyExistsError):  # Another process was faster.
                admin.create_topics(missing, wait_for_metadata=True)
            log.info("topics made names=%s", ",".join(missing))
    finally:
        admin.close()


def find_partitions(options: KafkaOptions) -> int | None:
    """Return how many partitions the topic has; None when there is no such topic."""
    try:
        admin = KafkaAdminClient(**options.configured(request_timeout_ms=5_000))
        try:
            if options.topic not in admin.list_topics():
                return None
            return len(admin.describe_topics([options.topic])[0]["partitions"])
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise options.trouble(error) from error
