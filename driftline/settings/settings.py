"""Settings: one driftline.toml, overridden by DRIFTLINE_SECTION__KEY, overridden by flags."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from driftline.capture.tap.place import CapturePlace
from driftline.database.urls import without_password
from driftline.errors import InputError
from driftline.loopback import is_loopback
from driftline.settings.schema import Dashboard, Section, Sections, Server, Storage, is_secret
from driftline.storage import SECRET_OPTIONS, is_remote
from driftline.validation import expected, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX = "DRIFTLINE_"
FILE_NAME = "driftline.toml"
HIDDEN = "***"


class Settings(Sections):
    """All settings, where each value came from, and what follows from them."""

    folder: Path = Field(default_factory=Path.cwd)
    file: Path | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    secret_files: tuple[Path, ...] = ()  # Of KEY_FILE variables.

    @property
    def transport(self) -> Literal["local", "kafka"]:
        """How records travel from spool to table: on one machine, or through a broker."""
        return "kafka" if self.kafka.bootstrap_servers else "local"

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
    def prices_file(self) -> Path | None:
        """The price table of recommendation jobs."""
        return self._path(self.serving.prices) if self.serving.prices else None

    @property
    def buckets_dir(self) -> Path | None:
        """The folder of the installation's own buckets; None where [storage] names another S3."""
        is_elsewhere = is_remote(self.storage.root) or bool(self.storage.options)
        return None if is_elsewhere else self._path(self.root) / "s3"

    @property
    def spool_dir(self) -> Path:
        """The spool's folder as an absolute path."""
        chosen = self.capture.spool_dir
        return self._path(chosen) if chosen else self.local_dir / "spool"

    @property
    def capture_place(self) -> CapturePlace:
        """How and where the tap records."""
        return CapturePlace(
            self.spool_dir,
            spool_max_bytes=self.capture.spool_max_bytes,
            max_body_bytes=self.capture.max_body_bytes,
            headers=tuple(self.capture.headers),
        )

    @property
    def own_hosts(self) -> list[str]:
        """The names, without port, by which others ask this machine."""
        named = [self.server.host, self.dashboard.host, *self.auth.hosts]
        return [name.strip("[]").lower() for name in named]

    @property
    def database_url(self) -> str:
        """The database URL; the default is a SQLite file in the local folder."""
        return self.database.url or f"sqlite:///{self.local_dir}/driftline.db"

    @property
    def secrets_key_file(self) -> Path:
        """The file of the key that seals channels' secrets, where the settings give none."""
        return self.local_dir / "channels.key"

    @property
    def token_file(self) -> Path:
        """The file of this machine's own token."""
        chosen = self.auth.token_file
        return self._path(chosen) if chosen else self.local_dir / "access.token"

    @property
    def server_url(self) -> str:
        """Where the server answers."""
        return self._url(self.server)

    @property
    def dashboard_url(self) -> str:
        """Where the dashboard answers."""
        return self._url(self.dashboard)

    @property
    def dashboard_link(self) -> str:
        """Return what links to the dashboard begin with: where others reach it."""
        return self.dashboard.external_url or self.dashboard_url

    @property
    def ca_file(self) -> Path | None:
        """The file of the authorities that may sign the server's certificate; None: the usual."""
        return self._path(self.server.tls_ca_file) if self.server.tls_ca_file else None

    @property
    def in_the_clear(self) -> list[str]:
        """The listeners to which others send tokens without TLS."""
        return [
            name
            for name, one in (("server", self.server), ("dashboard", self.dashboard))
            if not (is_loopback(one.host) or self.server.tls_cert_file or one.external_url)
        ]

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """The files of certificate and key; None where both listeners speak plain HTTP."""
        certificate = self.server.tls_cert_file
        if not certificate:
            return None
        return self._path(certificate), self._path(self.server.tls_key_file or certificate)

    def _url(self, section: Server | Dashboard) -> str:
        # Of all addresses, that of this machine; a certificate names none of them.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(section.host, section.host)  # noqa: S104
        scheme = "https" if self.server.tls_cert_file else "http"
        if self.server.tls_cert_file and self.auth.hosts and section.host != host:
            host = self.auth.hosts[0]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{section.port}"

    def _path(self, text: str) -> Path:
        parts = urlsplit(text)
        if parts.scheme not in ("", "file"):
            raise InputError(f'"{text}" is no folder of this machine; give a path or a file: URI')
        return (self.folder / (unquote(parts.path) if parts.scheme else text)).resolve()


@cache
def sections() -> dict[str, type[Section]]:
    """Return each section's model by its name."""
    return {name: type(kind) for name, kind in Sections()}


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str],
    flags: Mapping[tuple[str, str], object] | None = None,
) -> Settings:
    """Read the settings file, the environment over it, and flags, by section and key, over both."""
    chosen = file if file is not None else Path.cwd() / FILE_NAME
    is_there = file is not None or chosen.exists()
    folder = chosen.resolve().parent if is_there else Path.cwd()
    written = [(str(chosen), folder, *leaf) for leaf in _leaves(_read(chosen))] if is_there else []
    secret_files = []
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and "__" in name:
            path = tuple(name.removeprefix(PREFIX).lower().split("__", 2))
            written.append((f"environment {name}", Path.cwd(), path, text))
        elif name.startswith(f"{PREFIX}CHANNEL_") and name.endswith("_FILE"):
            secret_files.append(Path(text).absolute())
    written += [("flag", Path.cwd(), path, value) for path, value in (flags or {}).items()]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, base, path, value in written:
        if secret := _secret_of_file(path):
            path = secret
            secret_files.append(base / str(value))
            value = _read_secret(secret_files[-1], source)
        table = values
        for name in path[:-1]:
            if not isinstance(table.get(name), dict):
                table[name] = {}
            table = table[name]
        table[path[-1]] = value
        sources[".".join(path[:2])] = source
    try:
        found = Sections.model_validate(values)
    except ValidationError as error:
        raise _sentence(error.errors(include_url=False)[0], values, sources) from None
    return Settings(
        **dict(found),
        folder=folder,
        file=chosen if is_there else None,
        sources=sources,
        secret_files=tuple(secret_files),
    )


def describe(settings: Settings) -> list[dict[str, Any]]:
    """List every setting: section, key, value (no passwords), where it came from, what it is."""
    return [
        {
            "section": section,
            "key": key,
            "value": _shown(key, field, getattr(getattr(settings, section), key)),
            "source": settings.sources.get(f"{section}.{key}", "default"),
            "about": field.description,
        }
        for section, kind in sections().items()
        for key, field in kind.model_fields.items()
    ]


def _shown(key: str, field: FieldInfo, value: Any) -> object:  # noqa: ANN401 - a field's own
    if not value or not is_secret(field):
        return value
    if isinstance(value, dict):
        return {
            name: HIDDEN if name in SECRET_OPTIONS else without_password(text)
            for name, text in value.items()
        }
    return without_password(value) if key == "url" else HIDDEN


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{file}: not TOML ({error})") from error


def _leaves(
    table: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each value with its path; entries of a table alone, since others may add to it."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _secret_of_file(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of the secret that KEY_FILE is the file of; () where it is none's."""
    section, *keys = path
    known = sections()[section].model_fields if section in sections() else {}
    if not keys or not keys[-1].endswith("_file") or keys[-1] in known:
        return ()
    keys[-1] = keys[-1].removesuffix("_file")
    return (section, *keys) if keys[0] in known and is_secret(known[keys[0]]) else ()


def _read_secret(file: Path, where: str) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{where}: {file} cannot be read ({reason})") from error
    if not text:
        raise InputError(f"{where}: {file} is empty")
    return text


def _sentence(
    error: ErrorDetails, values: Mapping[str, Any], sources: Mapping[str, str]
) -> InputError:
    """Return the error: which setting is wrong, where it was set, and what was expected."""
    section, key, *_ = *map(str, error["loc"]), ""
    name = f"{section}.{key}"
    where = next((at for one, at in sources.items() if f"{one}.".startswith(name)), "settings")
    if section not in sections():
        return InputError(
            f'{where}: section "{section}" is unknown; {nearest(section, sections())}'
        )
    known, words = sections()[section].model_fields, expected(dict(error))
    if error["type"] == "extra_forbidden":
        return InputError(f'{where}: [{section}] "{key}" is unknown; {nearest(key, known)}')
    if error["type"] != "value_error":  # Those are our own words.
        shown = f"{values[section][key]!r}; " if key and not is_secret(known[key]) else ""
        words = f"{shown}expected {words}"
    return InputError(f"{where}: [{section}] {key}: {words}" if key else f"[{section}] {words}")
