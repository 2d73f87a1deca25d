"""What the settings let requests and resources read and write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.settings.settings import FILE_NAME, Settings
from driftline.storage import is_remote

if TYPE_CHECKING:
    from driftline.monitors.external.source import Access
    from driftline.serving.resources.reach import Reach


def reach(settings: Settings) -> Reach:
    """Return which files declared resources may name."""
    from driftline.database.engine import sqlite_files
    from driftline.serving.resources.reach import Reach

    # Values of these files would stand in a baseline's statistics, for whoever may read it.
    secrets = [settings.secrets_key_file, settings.token_file, settings.spool_dir]
    secrets.append(settings.file or settings.folder / FILE_NAME)
    secrets += [*sqlite_files(settings.database_url), *settings.secret_files]
    named = (
        settings.auth.proxy_secret_file,
        settings.auth.oidc_client_secret_file,
        settings.server.tls_key_file,
        settings.kafka.ssl_keyfile,
    )
    secrets += [settings.folder / file for file in named if file]
    own = [settings.folder, settings.local_dir]
    own += [] if is_remote(settings.root) else [Path(settings.root)]

    def inside(places: Sequence[str]) -> list[str]:
        return [one if is_remote(one) else str(settings.folder / one) for one in places]

    outputs = [f"{settings.root.rstrip('/')}/outputs", *inside(settings.serving.output_dirs)]
    folders = inside(settings.serving.data_dirs)
    if folders and settings.buckets_dir is not None:
        folders.append(str(settings.buckets_dir))
    return Reach(tuple(folders), tuple(own), tuple(secrets), tuple(outputs))


def table_access(settings: Settings) -> Access:
    """Return what tables of others may be read from."""
    from driftline.monitors.external.source import Access

    return Access(settings.query.connections, reach(settings).check_data)
