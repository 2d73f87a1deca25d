"""The connection of a command to a server: which one, and naming it after a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import typer

from driftline.app.client import client
from driftline.app.commands.options import load_settings
from driftline.app.installation import require_same, served_by
from driftline.errors import DriftlineError
from driftline.settings.settings import Settings

# Requests that only ask, although by POST.
_QUESTIONS = (
    "/backtest", "/invocations", "/metrics/data", "/metrics/statistics", "/preview", "/replay",
)  # fmt: skip


class Client(client.Client):
    """A client that names its server on standard error, once, when it has changed something.

    With settings, the first request is refused unless the server belongs to their installation.
    """

    def __init__(self, server: str, settings: Settings | None, *, config_file: Path | None) -> None:
        super().__init__(server, settings=lambda: settings or load_settings(config_file))
        self.config_file = config_file  # As the user named it.
        self._expected = settings
        self._is_named = False

    def require_expected(self) -> None:
        """Refuse a server of another installation than the settings describe; asks it once."""
        if (settings := self._expected) is not None:
            self._expected = None
            require_same(self, settings)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own options
        self.require_expected()
        response = super()._call(method, path, **options)
        if method != "GET" and not path.endswith(_QUESTIONS) and not self._is_named:
            self._is_named = True
            typer.echo(f"server: {self.server}{self._place()}", err=True)
        return response

    def _place(self) -> str:
        """Return where the server stores its data; "" if it does not say: the change is made."""
        try:
            return f" (data in {served_by(self)[1]})"
        except DriftlineError:
            return ""
