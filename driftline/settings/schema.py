"""The settings: every one once, with its type, its limits, its default and one sentence on it."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from driftline.access.principal import read_group_roles, read_networks
from driftline.capture.redaction.rules import Rule
from driftline.capture.tap.secret_names import SECRET_NAMES
from driftline.capture.tap.target import DEFAULT_HEADERS
from driftline.errors import InputError
from driftline.loopback import is_loopback
from driftline.storage import check_options, check_uri, is_remote
from driftline.validation import told


class Section(BaseModel):
    """A section of the settings; frozen, and an error names no value that is a secret."""

    # Built when something is set in it: most commands set nothing, and should not wait.
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True
    )


def _setting(default: object, about: str) -> Any:  # noqa: ANN401 - the field's own type is declared beside it
    return Field(default, description=about)


def _secret(default: object, about: str) -> Any:  # noqa: ANN401 - as above
    """Declare a setting that is, or holds, what no message may show."""
    return Field(default, description=about, repr=False)


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is, or holds, what nobody may read in messages."""
    return not field.repr


def _listed(value: object) -> object:
    """Read a list of the environment: JSON, or texts between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [text.strip() for text in value.split(",") if text.strip()]


def read_rules(given: list[dict[str, Any]]) -> list[Rule]:
    """Return the rules of ``[[capture.redact]]``; ValueError says what is wrong with them."""
    # By the rules of JSON text alone a list becomes a tuple, and nothing else another type.
    rules = TypeAdapter(list[Rule], config=ConfigDict(extra="forbid", strict=True))
    try:
        return rules.validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        raise ValueError(told(dict(error.errors(include_url=False)[0]))) from error
    except InputError as error:
        raise ValueError(str(error)) from error


def _checked_rules(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if given:
        read_rules(given)
    return given


def _root(text: str) -> str:
    if is_remote(text):
        check_uri(text)
    return text


def _external_url(text: str) -> str:
    """Return the address as browsers write an origin: small letters, no usual port, no slash."""
    if text and not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+/?", text, re.IGNORECASE):
        raise ValueError(f'"{text}"; expected such as "https://drift.example.org", without a path')
    origin = text.rstrip("/").lower()
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")


Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(gt=0, le=65535)]
Amount = Annotated[float, Field(gt=0)]
Texts = Annotated[list[str], BeforeValidator(_listed)]
ExternalUrl = Annotated[str, AfterValidator(_external_url)]


class Server(Section):
    """Where invocations and the programming interface are answered."""

    host: str = _setting("127.0.0.1", "address that the server listens on")
    port: Port = _setting(8080, "port that the server listens on")
    external_url: ExternalUrl = _setting("", "https:// address of the proxy before the server")
    tls_cert_file: str = _setting("", "certificate (PEM) of server and dashboard; empty: http")
    tls_key_file: str = _setting("", "its key (PEM); empty: in the certificate's file")
    tls_ca_file: str = _setting("", "authorities (PEM) that clients trust; empty: the usual")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tls_key_file and not self.tls_cert_file:
            raise ValueError("tls_key_file without tls_cert_file; set both, or none")
        return self


class Dashboard(Section):
    """Where the pages are answered."""

    host: str = _setting("127.0.0.1", "address that the dashboard listens on")
    port: Port = _setting(8081, "port that the dashboard listens on")
    external_url: ExternalUrl = _setting("", "https:// address of its proxy, for links too")


class Storage(Section):
    """Where tables and documents lie."""

    root: Annotated[str, Field(min_length=1), AfterValidator(_root)] = _setting(
        ".driftline", "folder or URI (s3://bucket/folder) of tables and documents"
    )
    options: Annotated[dict[str, Any], AfterValidator(check_options)] = _secret(
        {},
        "how buckets are opened: endpoint_url, region, access_key_id, secret_access_key, ...; what "
        "is missing comes from AWS's environment",
    )
    local_dir: str = _setting("", "folder of this machine; empty: a local root, or .driftline")


class Database(Section):
    """Where rows lie: metrics, alarms, definitions, executions."""

    url: str = _secret(
        "", "sqlite:///FILE or postgresql://user:password@host/db; empty: driftline.db in local_dir"
    )


class Capture(Section):
    """How requests and responses are recorded."""

    spool_dir: str = _setting("", "folder of the spool; empty: spool in [storage] local_dir")
    spool_max_bytes: Count = _setting(2 << 30, "bytes the spool may take; drops are counted")
    max_body_bytes: Count = _setting(1 << 20, "bytes kept of each body; true lengths always are")
    headers: Texts = _setting([*DEFAULT_HEADERS], "request headers recorded; no credentials")
    commit_interval_s: Amount = _setting(10.0, "longest time that a record waits for its table")
    retention_days: Count = _setting(90, "days that records, labels and notifications are kept")
    erasure_days: Count = _setting(
        30, "days that what comes under erased ids is dropped; longer than Kafka and spools keep it"
    )
    redact: Annotated[
        list[dict[str, Any]], BeforeValidator(_listed), AfterValidator(_checked_rules)
    ] = _setting([], "what is taken out of records; see docs/redaction.md")
    redact_names: Texts = _setting(
        [*SECRET_NAMES], "texts under these names (* is anything) are masked, in JSON and CSV"
    )
    redact_keys: str = _secret("", "keys that redaction hashes under, ID:KEY, …")


class Kafka(Section):
    """The broker between sidecar and sink; without one, records stay on their machine."""

    bootstrap_servers: Texts = _setting([], "host:port of some brokers; empty: no broker")
    topic: str = _setting("dl.capture.v1", "topic of records; dead letters go to TOPIC.dlq")
    replication: Count = _setting(3, "copies of a topic that is made; 1 for a broker that is alone")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _setting(
        "PLAINTEXT", '"PLAINTEXT", "SSL", "SASL_PLAINTEXT" or "SASL_SSL"'
    )
    sasl_mechanism: str = _setting("", '"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", ...')
    sasl_username: str = _setting("", "name for SASL")
    sasl_password: str = _secret("", "password for SASL; better by the environment")
    ssl_cafile: str = _setting("", "certificates of those who may sign the brokers'")
    ssl_certfile: str = _setting("", "own certificate")
    ssl_keyfile: str = _setting("", "key of the own certificate")


class Auth(Section):
    """Who may ask."""

    mode: Literal["off", "token", "proxy", "oidc"] = _setting(
        "off",
        '"off": this machine only; "token": with a token; "proxy", "oidc": also through a proxy '
        "that says who asks, or by a log-in to the dashboard",
    )
    token: str = _secret("", "token that commands and clients show; empty: that of token_file")
    token_file: str = _setting(
        "",
        "file with an admin's token, made at the first start and shown by commands of this "
        'machine; "": access.token in the local folder',
    )
    hosts: Texts = _setting([], "names of this machine by which others ask, without port")
    proxy_networks: Texts = _setting([], "networks (CIDR) of proxies that say who asks")
    proxy_secret_file: str = _setting("", "file with its X-Driftline-Proxy-Secret")
    oidc_issuer: str = _setting("", "https://… address of the provider of OpenID Connect")
    oidc_client_id: str = _setting("", "what the provider knows the dashboard by")
    oidc_client_secret_file: str = _setting("", "file with its secret; empty: PKCE alone")
    oidc_scopes: Texts = _setting(["openid", "profile", "email"], "what the dashboard asks for")
    oidc_user_claim: str = _setting("email", "claim that names the person; an email is verified")
    oidc_groups_claim: str = _setting("groups", "claim of the ID token with the person's groups")
    group_roles: Texts = _setting([], 'roles of groups of people, such as "on-call=operator"')

    @model_validator(mode="after")
    def _check(self) -> Self:
        for mode, key in (
            ("proxy", "proxy_networks"), ("proxy", "proxy_secret_file"),
            ("oidc", "oidc_issuer"), ("oidc", "oidc_client_id"),
        ):  # fmt: skip
            if self.mode == mode and not getattr(self, key):
                raise ValueError(f'mode = "{mode}" and {key} is empty')
        read_networks(self.proxy_networks)
        read_group_roles(self.group_roles)
        return self


class Serving(Section):
    """How models are run."""

    trust_pickle: bool = _setting(False, "load models that can run any code, such as pickles")
    trust_commands: bool = _setting(False, "run models that are programs, which can do anything")
    data_dirs: Texts = _setting([], "folders and URIs of models and data; empty: all but hidden")
    output_dirs: Texts = _setting(
        [], "folders and URIs that jobs may write to, besides outputs in the storage root"
    )
    timeout_s: Amount = _setting(60.0, "longest time that one invocation may take")
    serverless_idle_s: Amount = _setting(300.0, "seconds until an idle serverless worker ends")
    max_request_bytes: Count = _setting(25 << 20, "bytes a request body may have")
    prices: str = _setting("", "price table of recommendation jobs (TOML); empty: without costs")
    measure_busy: bool = _setting(
        False, "have recommendation jobs measure while more than 20% of the machine is busy"
    )


class Scheduler(Section):
    """When monitors run."""

    clock: Annotated[str, Field(pattern="^(system|file:.+)$")] = _setting(
        "system", '"system", or "file:PATH" with the time as text, for replays'
    )
    scripts_dir: str = _setting("", "folder of monitors' record scripts; empty: none may run")
    commands_dir: str = _setting("", "folder of monitors' programs; empty: none may run")


class Query(Section):
    """Databases whose rows monitors read by a query."""

    connections: dict[str, str] = _secret(
        {},
        "their URLs by the names, in lower case, that sources of monitors use; better by the "
        "environment",
    )


class Metrics(Section):
    """Where processes that answer nothing else show their counters to Prometheus."""

    host: str = _setting("127.0.0.1", "address of /metrics; others than this one want a token")
    token: str = _secret("", "token that /metrics asks for; better in a file")
    port: Annotated[int, Field(ge=0, le=65_531)] = _setting(
        8082,
        "port of the sidecar's /metrics; above it: sink 1, background 2, alarms alone 4; 0: none",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.token) < 32 and (self.token or not is_loopback(self.host)):
            raise ValueError(
                "token: expected 32 characters or more, or none where host is loopback; "
                "openssl rand -hex 32 prints one"
            )
        return self


class Log(Section):
    """How processes log."""

    format: Literal["text", "json"] = _setting("text", '"text", or "json": one object a line')


class Notify(Section):
    """Whom messages may go to."""

    allow_networks: Texts = _setting([], "private networks that webhooks may reach (CIDR)")
    commands: Texts = _setting([], "what channels may run, such as page=/usr/local/bin/page")
    secrets_key: str = _secret(
        "", "keys that seal channels' secrets, the first one; empty: channels.key in local_dir"
    )


class Sections(Section):
    """All settings, section by section."""

    server: Server = Field(default_factory=Server)
    dashboard: Dashboard = Field(default_factory=Dashboard)
    storage: Storage = Field(default_factory=Storage)
    database: Database = Field(default_factory=Database)
    capture: Capture = Field(default_factory=Capture)
    kafka: Kafka = Field(default_factory=Kafka)
    auth: Auth = Field(default_factory=Auth)
    serving: Serving = Field(default_factory=Serving)
    scheduler: Scheduler = Field(default_factory=Scheduler)
    query: Query = Field(default_factory=Query)
    metrics: Metrics = Field(default_factory=Metrics)
    notify: Notify = Field(default_factory=Notify)
    log: Log = Field(default_factory=Log)
