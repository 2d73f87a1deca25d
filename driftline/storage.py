"""Where files lie: a folder or a bucket, by the same options for pyarrow and delta-rs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.validation import nearest, require_unicode

if TYPE_CHECKING:
    from pyarrow import fs

# The names are delta-rs's and Polars's without their "aws_".
_NAMES = (
    "endpoint_url", "region", "access_key_id", "secret_access_key", "session_token", "allow_http",
    "skip_signature",
)  # fmt: skip
_FLAGS = ("allow_http", "skip_signature")
SECRET_OPTIONS = ("access_key_id", "secret_access_key", "session_token")

_CONNECT_S = 5
_ANSWER_S = 30
_ATTEMPTS = 3
# A full disk may still have room for a few bytes.
_PROBE_BYTES = 64 << 10
# From the first try of one request to the last.
_RETRY_S = 15

_options: list[dict[str, str]] = [{}]  # One.
# The folder of this installation's own buckets; None where its storage is a bucket itself.
_buckets: list[Path | None] = [None]
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_options(options: Mapping[str, object]) -> dict[str, str]:
    """Return options as text, checked; a refusal never shows a value."""
    found: dict[str, str] = {}
    for name, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else value
        if name not in _NAMES:
            raise InputError(f'options: "{name}" is unknown; {nearest(name, _NAMES)}')
        if not isinstance(text, str) or (name in _FLAGS and text not in ("true", "false")):
            expected = "true or false" if name in _FLAGS else "text in quotes"
            raise InputError(f'options: "{name}": expected {expected}')
        found[name] = text
    if ("access_key_id" in found) != ("secret_access_key" in found):
        raise InputError(
            "options: expected access_key_id and secret_access_key together, or none of them"
        )
    if endpoint := found.get("endpoint_url"):
        _check_endpoint(endpoint, is_open=found.get("allow_http") == "true")
    return found


def check_uri(where: str) -> None:
    """Refuse a URI that names no bucket, or holds more than a path, such as credentials."""
    parts = urlsplit(where)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme != "s3":
        raise InputError(f'"{shown}": expected a folder, or a URI that begins with s3:// or file:')
    if not parts.hostname:
        raise InputError(f'"{shown}" names no bucket; expected such as s3://bucket/folder')
    if "=" in parts.query or "@" in parts.netloc:
        raise InputError(f'"{shown}": keys and options stand in [storage] options, not in the URI')


def _check_endpoint(endpoint: str, *, is_open: bool) -> None:
    parts = urlsplit(endpoint)
    if parts.username or parts.password:
        raise InputError("options: endpoint_url holds a user or password; use access_key_id")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise InputError(
            f'options: endpoint_url "{endpoint}"; expected such as https://minio.example:9000'
        )
    if parts.scheme == "http" and not is_open:
        raise InputError(
            f'options: endpoint_url "{endpoint}": records would travel unencrypted; use https, or '
            "set allow_http = true where that is meant"
        )


def use_options(options: Mapping[str, object], buckets: Path | None = None) -> None:
    """Open buckets with these options in this process; the rest is found as AWS's tools do.

    ``buckets``: a folder with one for each bucket of this installation; there are no others then.
    """
    _options[0], _buckets[0] = check_options(options), buckets


def is_bucket_name(name: str) -> bool:
    """Return whether a text may be the name of a bucket."""
    return _BUCKET.fullmatch(name) is not None and ".." not in name


def own_object(where: str) -> Path | None:
    """Return the file of a URI in a bucket of this installation; None of everything else."""
    if _buckets[0] is None or not where.startswith("s3://"):
        return None
    bucket, _, key = where.removeprefix("s3://").partition("/")
    folder = _buckets[0] / bucket
    if not is_bucket_name(bucket) or not folder.is_dir():
        check_uri(where)
        # To look for it at AWS would take long, and may find somebody else's.
        raise NotFoundError(
            f'{where}: this installation has no bucket "{bucket}"; create it, or name the S3 that '
            'has it in [storage] options, such as region = "eu-west-1" for AWS'
        )
    path = folder / key.lstrip("/")
    if ".." in key.split("/") or "\0" in key or not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{where}: leaves its bucket; expected a key below it")
    return path


def make_files_private() -> None:
    """Make what this process writes from now on, which holds payloads, its user's alone."""
    os.umask(os.umask(0o077) | 0o077)


def is_remote(where: str) -> bool:
    """Return whether a path or URI is of another place than this machine's own folders."""
    return "://" in where and urlsplit(where).scheme != "file"


def open_uri(where: str) -> tuple[fs.FileSystem, str]:
    """Open a path or URI; return its file system and the path in it."""
    import pyarrow as pa
    from pyarrow import fs

    if not where.isascii():  # Of a file whose name is no UTF-8, Python has half a character.
        require_unicode(where, "path")
    if "://" not in where and not where.startswith("file:"):
        return fs.LocalFileSystem(), str(Path(where).expanduser().absolute())
    if (file := own_object(where)) is not None:
        return fs.LocalFileSystem(), str(file.absolute())
    if not where.startswith("file:"):
        # pyarrow opens more: "local:///etc" is a folder of this machine under another name.
        check_uri(where)
        # Not as a URL: names of objects may hold "?" and "#", as patterns do.
        path = where.partition("://")[2].rstrip("/")
        return _s3(tuple(sorted(_effective(path.partition("/")[0]).items()))), path
    try:
        filesystem, path = fs.FileSystem.from_uri(where)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise InputError(f'"{where}": expected a path, or a URI of a file ({error})') from error
    return filesystem, str(path)


def disk_failure(folder: Path) -> str:
    """Return in one sentence why a disk takes no writes, and the mend; empty if it does."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.is_dir())
        with TemporaryFile(dir=there) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{folder}: {error.strerror}; make room there, or let this user write there"
    return ""


def bucket_failure(where: str) -> str:
    """Return in one sentence why a bucket does not answer, and the mend; empty if it does."""
    if not is_remote(where):
        return ""
    try:
        filesystem, path = open_uri(where)
        filesystem.get_file_info(path)
    except UnavailableError as error:
        return str(error)
    except OSError as error:
        return str(storage_error(where, error))
    return ""


def delta_options(where: str) -> dict[str, str] | None:
    """Return delta-rs's options for a path or URI; None for folders of this machine."""
    if not is_remote(where):
        return None
    found = {f"aws_{name}": value for name, value in _effective(urlsplit(where).netloc).items()}
    return found | {
        "connect_timeout": f"{_CONNECT_S}s",
        "timeout": f"{_ANSWER_S}s",
        "max_retries": str(_ATTEMPTS),
        "retry_timeout": f"{_RETRY_S}s",
        # A commit is one conditional put, which S3 refuses to the second of two writers.
        "conditional_put": "etag",
    }


def storage_error(where: str, error: BaseException) -> UnavailableError:
    """Return in one sentence why a place cannot be read or written, and the mend."""
    said = str(error)
    for signs, sentence in _TROUBLES:
        if any(sign in said for sign in signs):
            return UnavailableError(f"{where}: {sentence}")
    said = " ".join(said.split())[:300]
    return UnavailableError(f"{where}: the storage refuses or does not answer ({said})")


_TROUBLES = (
    (
        ("NETWORK_CONNECTION", "error sending request", "Connection refused", "dns error"),
        "the storage cannot be reached; see that it runs, or correct its endpoint_url",
    ),
    (
        ("NoSuchBucket", "NO_SUCH_BUCKET", "Bucket '"),  # The last one is pyarrow's own.
        "there is no such bucket; make it, or correct the URI",
    ),
    (
        ("InvalidAccessKeyId", "INVALID_ACCESS_KEY_ID", "SignatureDoesNotMatch", "ExpiredToken",
         "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN"),
        "the storage does not know these keys; correct [storage] options or the AWS environment",
    ),
    (
        ("AccessDenied", "ACCESS_DENIED", "403 Forbidden", "lacked the necessary privileges"),
        "access denied; allow these keys to list, read, write and delete there",
    ),
)  # fmt: skip


def _effective(bucket: str) -> dict[str, str]:
    found = dict(_options[0])
    for name, variables in (
        ("endpoint_url", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
        ("region", ("AWS_REGION", "AWS_DEFAULT_REGION")),
    ):
        for variable in variables:
            if name not in found and os.environ.get(variable):
                found[name] = os.environ[variable]
    # delta-rs would send the environment's token with keys that it does not belong to.
    is_foreign = "access_key_id" in found and "session_token" not in found
    if is_foreign and os.environ.get("AWS_SESSION_TOKEN"):
        raise InputError(
            "[storage] options hold keys of their own, and AWS_SESSION_TOKEN is set, which "
            "belongs to others; unset it, or give session_token, too"
        )
    if "endpoint_url" in found:
        is_open = "true" in (found.get("allow_http"), os.environ.get("AWS_ALLOW_HTTP", "").lower())
        _check_endpoint(found["endpoint_url"], is_open=is_open)
        found["allow_http"] = str(is_open).lower()
        found.setdefault("region", "us-east-1")
    if "region" not in found:
        found["region"] = _region(bucket)
    return found


@lru_cache(maxsize=8)
def _s3(options: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    """Open S3 once for each set of options: its connections are worth keeping."""
    from pyarrow import fs

    found = dict(options)
    endpoint = urlsplit(found.get("endpoint_url", ""))
    return fs.S3FileSystem(
        access_key=found.get("access_key_id"),
        secret_key=found.get("secret_access_key"),
        session_token=found.get("session_token"),
        anonymous=found.get("skip_signature") == "true",
        region=found["region"],
        scheme=endpoint.scheme or "https",
        endpoint_override=endpoint.netloc or None,
        connect_timeout=_CONNECT_S,
        # A small file is then one request, in place of three.
        allow_delayed_open=True,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


@lru_cache(maxsize=64)
def _region(bucket: str) -> str:
    from pyarrow import fs

    try:
        return str(fs.resolve_s3_region(bucket))
    except OSError as error:
        raise storage_error(f"s3://{bucket}", error) from error
