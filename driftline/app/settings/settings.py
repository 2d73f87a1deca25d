"""Settings: one driftline.toml, overridden by DRIFTLINE_SECTION__KEY, overridden by flags.

Every setting stands once, in sections.py, with its default and one sentence on it. An unknown
section or key is an error that names the nearest known one. Relative paths count from the folder of
the settings file, or from the working folder when there is none.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import unquote, urlsplit

from driftline.app.logs import FORMATS
from driftline.app.settings.schema import (
    Alarms,
    Auth,
    Capture,
    Dashboard,
    Database,
    Kafka,
    Log,
    Metrics,
    Notify,
    Scheduler,
    Server,
    Serving,
    Storage,
    is_secret,
)
from driftline.app.settings.tables import read_tables, set_fields
from driftline.capture.spool.writer import Durability, OnFull
from driftline.database.urls import without_password
from driftline.errors import InputError
from driftline.storage import (
    SECRET_OPTIONS,
    check_options,
    check_uri,
    is_remote,
    nearest_of,
    plain_options,
)

PREFIX = "DRIFTLINE_"
FILE_NAME = "driftline.toml"
HIDDEN = "***"
_LARGEST = {"port": 65535, "sampling_percentage": 100}


class SettingsError(InputError):
    """A settings file, an environment variable or a flag is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, each section a frozen dataclass, and where each value came from."""

    server: Server = field(default_factory=Server)
    dashboard: Dashboard = field(default_factory=Dashboard)
    storage: Storage = field(default_factory=Storage)
    database: Database = field(default_factory=Database)
    capture: Capture = field(default_factory=Capture)
    kafka: Kafka = field(default_factory=Kafka)
    auth: Auth = field(default_factory=Auth)
    serving: Serving = field(default_factory=Serving)
    scheduler: Scheduler = field(default_factory=Scheduler)
    alarms: Alarms = field(default_factory=Alarms)
    metrics: Metrics = field(default_factory=Metrics)
    notify: Notify = field(default_factory=Notify)
    log: Log = field(default_factory=Log)
    folder: Path = field(default_factory=Path.cwd)
    file: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The storage root as an absolute path, or the URI of a bucket."""
        root = self.storage.root
        return root.rstrip("/") if is_remote(root) else str(self._path(root))

    @property
    def local_dir(self) -> Path:
        """The folder of this machine for what cannot lie in a bucket."""
        chosen = self.storage.local_dir
        if not chosen:
            chosen = Storage().root if is_remote(self.storage.root) else self.storage.root
        return self._path(chosen)

    @property
    def spool_dir(self) -> Path:
        """The spool's folder as an absolute path."""
        return (
            self._path(self.capture.spool_dir)
            if self.capture.spool_dir
            else self.local_dir / "spool"
        )

    @property
    def database_url(self) -> str:
        """The database URL; the default is a SQLite file in the local folder."""
        return self.database.url or f"sqlite:///{self.local_dir}/driftline.db"

    @property
    def secrets_key_file(self) -> Path:
        """The file of the key that seals channels' secrets."""
        chosen = self.notify.secrets_key_file
        return self._path(chosen) if chosen else self.local_dir / "channels.key"

    @property
    def server_url(self) -> str:
        """Where the server answers."""
        return _url(self.server.host, self.server.port)

    @property
    def dashboard_url(self) -> str:
        """Where the dashboard answers."""
        return _url(self.dashboard.host, self.dashboard.port)

    def _path(self, text: str) -> Path:
        parts = urlsplit(text)
        if parts.scheme not in ("", "file"):
            raise SettingsError(
                f'"{text}" is no folder of this machine; give a path or a file: URI'
            )
        return (self.folder / (unquote(parts.path) if parts.scheme else text)).resolve()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def sections() -> dict[str, type]:
    """Name each section with the dataclass that describes it."""
    hints = get_type_hints(Settings)
    return {
        f.name: hints[f.name]
        for f in fields(Settings)
        if f.name not in ("folder", "file", "sources")
    }


def load(file: Path | None = None, *, environment: Mapping[str, str]) -> Settings:
    """Read the settings file, then the environment over it.

    Parameters
    ----------
    file
        The settings file; without it ``driftline.toml`` in the working folder, if there is one.
    environment
        Usually ``os.environ``; only names that begin with DRIFTLINE_ are looked at.

    Raises
    ------
    SettingsError
        For a file that cannot be read, an unknown section or key, or a value of the wrong kind.
    """
    chosen = file if file is not None else Path.cwd() / FILE_NAME
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}
    if file is not None or chosen.exists():
        for section, entries in _read(chosen).items():
            _known(section, sections(), f"{chosen}: section")
            if not isinstance(entries, dict):
                raise SettingsError(f"{chosen}: [{section}] is not a section of keys")
            for key, value in entries.items():
                _put(values, sources, section, key, value, str(chosen))
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and "__" in name:
            section, key = name.removeprefix(PREFIX).lower().split("__", 1)
            _known(section, sections(), f"environment {name}: section")
            _put(values, sources, section, key, text, f"environment {name}")
    built = {name: kind(**values.get(name, {})) for name, kind in sections().items()}
    folder = chosen.resolve().parent if chosen.exists() else Path.cwd()
    found = Settings(
        folder=folder, file=chosen if chosen.exists() else None, sources=sources, **built
    )
    _check(found)
    return found


def override(settings: Settings, section: str, key: str, value: object) -> Settings:
    """Give the settings with one value set by a flag."""
    part = replace(getattr(settings, section), **{key: value})
    sources = {**settings.sources, f"{section}.{key}": "flag"}
    changed = replace(settings, **{section: part, "sources": sources})
    _check(changed)
    return changed


def describe(settings: Settings) -> list[dict[str, Any]]:
    """List every setting: section, key, value, where it came from, and what it is.

    Passwords are not shown.
    """
    return [
        {
            "section": section,
            "key": entry.name,
            "value": _shown(section, entry, getattr(getattr(settings, section), entry.name)),
            "source": settings.sources.get(f"{section}.{entry.name}", "default"),
            "about": entry.metadata["about"],
        }
        for section, kind in sections().items()
        for entry in fields(kind)
    ]


def _shown(section: str, entry: Field[Any], value: object) -> object:
    if not is_secret(entry):
        if "table" in entry.metadata and isinstance(value, list):
            return [set_fields(one) for one in value]
        return value
    if (section, entry.name) == ("database", "url"):
        return without_password(str(value))
    if isinstance(value, dict):
        return {name: HIDDEN if name in SECRET_OPTIONS else text for name, text in value.items()}
    return HIDDEN if value else value


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not TOML ({error})") from error


def _known(name: str, known: Mapping[str, object], where: str) -> None:
    if name not in known:
        raise SettingsError(f'{where} "{name}" is unknown; {nearest_of(name, known)}')


def _put(
    values: dict[str, dict[str, Any]],
    sources: dict[str, str],
    section: str,
    key: str,
    value: object,
    source: str,
) -> None:
    # Of a table each entry can come from a variable of its own, as secrets usually do.
    key, _, inner = key.partition("__")
    kind = sections()[section]
    known = {entry.name: entry for entry in fields(kind)}
    _known(key, known, f"{source}: [{section}]")
    entry = known[key]
    default = entry.default
    if entry.default_factory is not MISSING:
        default = entry.default_factory()
    where = f"{source}: [{section}] {key}"
    sources[f"{section}.{key}"] = source
    if table := entry.metadata.get("table"):
        values.setdefault(section, {})[key] = _tables(value, table, where)
        return
    if isinstance(default, dict):
        held = values.get(section, {}).get(key, {}) if inner else {}
        options = _options({inner: value} if inner else value, where)
        values.setdefault(section, {})[key] = held | options
        return
    if inner:
        raise SettingsError(f'{where} is one value; "{inner}" means nothing there')
    if is_secret(entry) and not isinstance(value, str):
        # What it is must not stand in the message.
        raise SettingsError(f"{where}: expected text in quotes")
    values.setdefault(section, {})[key] = _convert(value, default, where)


def _convert(value: object, default: object, where: str) -> object:
    """Bring a value from TOML or from text to the kind of its default."""
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
            return value.lower() in ("true", "1")
        raise SettingsError(f"{where} = {value!r}; expected true or false")
    if isinstance(default, (int, float)):
        found = _number(value, type(default))
        if found is None:
            raise SettingsError(f"{where} = {value!r}; expected a number such as {default}")
        return found
    if isinstance(default, list):
        listed = _listed(value) if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            raise SettingsError(
                f"{where} = {value!r}; expected a list of texts, such as "
                '["one", "two"] or one,two in the environment'
            )
        return [entry.strip() for entry in listed if entry.strip()]
    if not isinstance(value, str):
        raise SettingsError(f"{where} = {value!r}; expected text")
    return value


def _listed(text: str) -> object:
    """Read a list as JSON, or as texts between commas; None for what begins as JSON and is none."""
    if not text.lstrip().startswith("["):
        return text.split(",")
    try:
        return json.loads(text)
    except ValueError:
        return None


def _options(value: object, where: str) -> dict[str, str]:
    """Bring the options of buckets to their own names; a message holds no value of theirs."""
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: expected a table of names and texts")
    try:
        return plain_options(value)
    except InputError as error:
        raise SettingsError(f"{where}: {error}") from error


def _tables(value: object, kind: type, where: str) -> list[object]:
    try:
        return read_tables(value, kind, where)
    except InputError as error:
        raise SettingsError(str(error)) from error


def _number(value: object, kind: type[int] | type[float]) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return None


def _check(settings: Settings) -> None:
    """Refuse values that no process could work with."""
    choices = {
        ("auth", "mode"): ("off",),
        ("capture", "transport"): ("local", "kafka"),
        ("kafka", "security_protocol"): ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        ("capture", "append"): ("before", "after"),
        ("capture", "durability"): get_args(Durability),
        ("capture", "on_full"): get_args(OnFull),
        ("log", "format"): FORMATS,
    }
    for (section, key), allowed in choices.items():
        value = getattr(getattr(settings, section), key)
        if value not in allowed:
            listed = " or ".join(f'"{choice}"' for choice in allowed)
            raise SettingsError(f'[{section}] {key} = "{value}"; expected {listed}')
    for section, kind in sections().items():
        for entry in fields(kind):
            value = getattr(getattr(settings, section), entry.name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            # Of the metrics the numbers are ports, and 0 is none.
            if is_number and value <= 0 and (section != "metrics" or value < 0):
                wanted = "0 for none, or a number above it"
                wanted = wanted if section == "metrics" else "a number above 0"
                raise SettingsError(f"[{section}] {entry.name} = {value}; expected {wanted}")
            largest = _LARGEST.get(entry.name)
            if largest is not None and value > largest:
                raise SettingsError(f"[{section}] {entry.name} = {value}; expected 1 to {largest}")
    if not settings.storage.root:
        raise SettingsError('[storage] root = ""; expected a folder, or a URI')
    try:
        check_options(settings.storage.options)
        if is_remote(settings.storage.root):
            check_uri(settings.storage.root)
    except InputError as error:
        raise SettingsError(f"[storage] {error}") from error
    if is_remote(settings.storage.local_dir):
        raise SettingsError(
            f'[storage] local_dir = "{settings.storage.local_dir}"; expected a folder'
        )
    if settings.capture.transport == "kafka" and not settings.kafka.bootstrap_servers:
        raise SettingsError(
            '[capture] transport = "kafka" and [kafka] bootstrap_servers is empty; '
            'expected the host:port of some brokers, such as ["broker:9092"]'
        )
    clock = settings.scheduler.clock
    if clock != "system" and not clock.startswith("file:"):
        raise SettingsError(f'[scheduler] clock = "{clock}"; expected "system" or "file:PATH"')
