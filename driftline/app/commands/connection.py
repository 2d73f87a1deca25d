"""The connection of a command to a server of the installation that its settings describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from driftline.app.client import client
from driftline.app.commands.options import load_settings
from driftline.app.installation import require_same
from driftline.settings.settings import Settings


class Client(client.Client):
    """A client; with settings, its first request is refused by a server of others."""

    def __init__(self, server: str, settings: Settings | None, *, config_file: Path | None) -> None:
        super().__init__(server, settings=lambda: settings or load_settings(config_file))
        self.config_file = config_file  # As the user named it.
        self._expected = settings

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own options
        if (settings := self._expected) is not None:
            self._expected = None
            require_same(self, settings)
        return super()._call(method, path, **options)
