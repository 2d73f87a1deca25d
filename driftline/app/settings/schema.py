"""The sections of the settings: every setting once, with its default and one sentence on it."""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from typing import Any, Literal

from driftline.capture.redaction.rules import Rule
from driftline.capture.tap.recorder import DEFAULT_HEADERS


def _setting(default: Any, about: str) -> Any:  # noqa: ANN401 - the field's own type is declared beside it.
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata={"about": about})
    return field(default=default, metadata={"about": about})


def _secret(default: str, about: str) -> Any:  # noqa: ANN401 - as above.
    """Declare a setting that no message shows."""
    return field(default=default, repr=False, metadata={"about": about})


def is_secret(entry: Field[Any]) -> bool:
    """Say whether a setting is, or holds, what nobody may read in messages."""
    return not entry.repr


@dataclass(frozen=True, slots=True)
class Server:
    """Where invocations and the programming interface are answered."""

    host: str = _setting("127.0.0.1", "address that the server listens on")
    port: int = _setting(8080, "port that the server listens on")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Where the pages are answered."""

    host: str = _setting("127.0.0.1", "address that the dashboard listens on")
    port: int = _setting(8081, "port that the dashboard listens on")


@dataclass(frozen=True, slots=True)
class Storage:
    """Where tables and documents lie."""

    root: str = _setting(".driftline", "folder or URI (s3://bucket/folder) of tables and documents")
    options: dict[str, str] = field(
        default_factory=dict,
        repr=False,
        metadata={
            "about": "how buckets are opened: endpoint_url, region, access_key_id, "
            "secret_access_key, ...; what is missing comes from AWS's environment"
        },
    )
    local_dir: str = _setting(
        "",
        "folder of this machine for spool, database file and models that are served; empty: the "
        "root, or .driftline with a root elsewhere",
    )


@dataclass(frozen=True, slots=True)
class Database:
    """Where rows lie: metrics, alarms, definitions, executions."""

    url: str = _secret(
        "", "sqlite:///FILE or postgresql://user:password@host/db; empty: driftline.db in local_dir"
    )


@dataclass(frozen=True, slots=True)
class Capture:
    """How requests and responses are recorded."""

    transport: str = _setting(
        "local", 'how records travel from spool to table: "local" (same machine) or "kafka"'
    )
    spool_dir: str = _setting("", "folder of the spool; empty: spool in [storage] local_dir")
    spool_max_bytes: int = _setting(2 << 30, "bytes the spool may take; above it drops are counted")
    append: Literal["before", "after"] = _setting(
        "before", 'record "before" or "after" the last bytes of the response'
    )
    max_body_bytes: int = _setting(1 << 20, "bytes kept of each body; true lengths always are")
    max_inflight_bytes: int = _setting(
        64 << 20, "bytes kept of all unfinished requests of a process; above it no bodies are"
    )
    sampling_percentage: float = _setting(
        100.0, "share of requests that is recorded where an endpoint does not say"
    )
    headers: list[str] = _setting(  # noqa: RUF009 - a dataclass field, made by a factory
        list(DEFAULT_HEADERS),
        "request headers recorded beside content type and ids; never such as carry credentials",
    )
    durability: Literal["process", "interval", "request"] = _setting(
        "interval",
        'when a record is on the disk: "process" (when the kernel likes), "interval" (within a '
        'second), "request" (before the answer)',
    )
    on_full: Literal["drop", "metadata_only"] = _setting(
        "drop",
        'with a full spool records are dropped; "metadata_only": bodies already at four fifths',
    )
    commit_interval_s: float = _setting(
        10.0, "longest time a record waits before it is in the table"
    )
    retention_days: int = _setting(90, "days that captured records and their labels are kept")
    upkeep_interval_s: float = _setting(
        60.0, "seconds between two looks for small files to put together and old ones to remove"
    )
    erasure_days: int = _setting(
        30, "days that what comes under erased ids is dropped; longer than Kafka and spools keep it"
    )
    vacuum_after_h: int = _setting(
        24, "hours that replaced files stay for who reads an older state of a table"
    )
    redact: list[Rule] = field(
        default_factory=list,
        metadata={"about": "what is taken out of records; see docs/redaction.md", "table": Rule},
    )
    redact_key_file: str = _setting("", "file of the keys that redaction hashes under, ID:KEY")
    redact_keys: str = _secret("", "such keys themselves, ID:KEY, …; better by the environment")


@dataclass(frozen=True, slots=True)
class Kafka:
    """The broker between sidecar and sink, with [capture] transport = "kafka"."""

    bootstrap_servers: list[str] = _setting([], "host:port of some brokers")  # noqa: RUF009 - made by a factory
    topic: str = _setting("dl.capture.v1", "topic of records; dead letters go to TOPIC.dlq")
    group: str = _setting("driftline-sink", "consumer group that the sinks form")
    partitions: int = _setting(12, "partitions of a topic that is made; as many sinks can share it")
    replication: int = _setting(3, "copies of a topic that is made; 1 for a broker that is alone")
    max_message_bytes: int = _setting(
        4 << 20, "largest message; a larger record goes without its bodies"
    )
    security_protocol: str = _setting(
        "PLAINTEXT", '"PLAINTEXT", "SSL", "SASL_PLAINTEXT" or "SASL_SSL"'
    )
    sasl_mechanism: str = _setting("", '"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", ...')
    sasl_username: str = _setting("", "name for SASL")
    sasl_password: str = _secret("", "password for SASL; better by the environment")
    ssl_cafile: str = _setting("", "certificates of those who may sign the brokers'")
    ssl_certfile: str = _setting("", "own certificate")
    ssl_keyfile: str = _setting("", "key of the own certificate")


@dataclass(frozen=True, slots=True)
class Auth:
    """Who may ask."""

    mode: str = _setting("off", '"off": this machine only')


@dataclass(frozen=True, slots=True)
class Serving:
    """How models are run."""

    trust_pickle: bool = _setting(False, "load joblib and pickle files, which can run any code")
    workers: int = _setting(1, "processes per model")
    timeout_s: float = _setting(60.0, "longest time that one invocation may take")
    max_request_bytes: int = _setting(25 << 20, "bytes a request body may have")


@dataclass(frozen=True, slots=True)
class Scheduler:
    """When monitors run."""

    clock: str = _setting("system", '"system", or "file:PATH" with the time as text, for replays')
    poll_s: float = _setting(5.0, "seconds between two looks for work that is due")
    revisit_s: float = _setting(
        300.0, "seconds that a window touched by late records or labels waits to be judged again"
    )
    scripts_dir: str = _setting(
        "", "folder of the record scripts that monitors may name; empty: they may name none"
    )


@dataclass(frozen=True, slots=True)
class Alarms:
    """When people are told."""

    poll_s: float = _setting(5.0, "seconds between two looks at the metrics")
    retention_days: float = _setting(
        90.0, "days that history, finished messages and closed incidents are kept"
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where processes that answer nothing else show their counters to Prometheus."""

    host: str = _setting("127.0.0.1", "address that /metrics of these processes listens on")
    sidecar_port: int = _setting(8082, "port of the sidecar's /metrics; 0: none")
    sink_port: int = _setting(8083, "port of the sink's /metrics; 0: none")
    background_port: int = _setting(
        8084, "port of /metrics of capture, scheduler and alarms on the embedded default; 0: none"
    )


@dataclass(frozen=True, slots=True)
class Log:
    """How processes log."""

    format: str = _setting("text", '"text" for people, or "json": one object a line')


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom messages may go to."""

    allow_networks: list[str] = _setting(  # noqa: RUF009 - a dataclass field, made by a factory
        [], "private networks that webhooks may reach, such as 10.1.0.0/16; others are refused"
    )
    commands: list[str] = _setting(  # noqa: RUF009 - as above
        [], "what channels of type command may run, such as page=/usr/local/bin/page --loud"
    )
    secrets_key: str = _secret(
        "", "keys that seal channels' secrets, the first one; better by the environment"
    )
    secrets_key_file: str = _setting(
        "", "file of such a key, made when it is missing; empty: channels.key in local_dir"
    )
    digest: str = _setting("MON 08:00", "when the weekly digests are sent: day and time, in UTC")
