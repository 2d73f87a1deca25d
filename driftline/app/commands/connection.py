"""The connection of a command to a server: which one, and saying so when it changes something."""

from __future__ import annotations

from typing import Any

import httpx
import typer

from driftline.app.client.client import Client
from driftline.app.installation import require_same, served_by
from driftline.app.settings.settings import Settings
from driftline.errors import DriftlineError

# Requests that only ask, although by POST.
_QUESTIONS = (
    "/backtest", "/invocations", "/metrics/data", "/metrics/statistics", "/preview", "/replay",
)  # fmt: skip


class CommandClient(Client):
    """A client that names its server on standard error, once, when it has changed something."""

    _is_named = False

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own options
        response = super()._call(method, path, **options)
        if method != "GET" and not path.endswith(_QUESTIONS) and not self._is_named:
            self._is_named = True
            typer.echo(f"server: {self.server}{self._place()}", err=True)
        return response

    def _place(self) -> str:
        """Say where the server stores its data; nothing if it does not say: the change is made."""
        try:
            return f" (data in {served_by(self)[1]})"
        except DriftlineError:
            return ""


def connect(url: str, settings: Settings | None) -> Client:
    """Open a connection to a server.

    Parameters
    ----------
    settings
        Those of the installation that the server must belong to; None: any server will do.

    Raises
    ------
    UnavailableError
        When no server answers, or the database of the settings cannot be read.
    WrongServerError
        When the server belongs to another installation.
    """
    client = CommandClient(url)
    if settings is not None:
        try:
            require_same(client, settings)
        except BaseException:
            client.close()
            raise
    return client
