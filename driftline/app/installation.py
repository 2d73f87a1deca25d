"""Installations: whether a server belongs to the one that the settings here describe.

Each database has an id, written when its tables are made. A server tells the id of its database.
"""

from __future__ import annotations

from driftline.app.client.client import Client
from driftline.app.database import installation_id
from driftline.app.settings.settings import Settings
from driftline.errors import InputError, NotFoundError


class WrongServerError(InputError):
    """The server that answers belongs to another installation than the settings."""


def served_by(client: Client) -> tuple[str | None, str]:
    """Return the id of a server's installation, and where it stores its data."""
    try:
        found = client.installation()
    except NotFoundError:  # A server from before installations had ids.
        return None, "an unknown folder"
    return found["id"], found["storage"]


def another_installation(settings: Settings) -> str:
    """Say which other installation answers at the address of the settings; "" if it is the own."""
    with Client(settings.server_url) as client:
        return _another(client, settings)


def require_same(client: Client, settings: Settings) -> None:
    """Refuse a server that belongs to another installation than the settings.

    Without a settings file and without a database nothing is installed here, and any server will
    do.

    Raises
    ------
    UnavailableError
        When no server answers, or the database of the settings cannot be read.
    WrongServerError
        When the ids differ, or the installation of the settings file was never started.
    """
    if other := _another(client, settings):
        raise WrongServerError(
            f"{other}; to use yours, set another [server] port and run: driftline up; to use this "
            f"server, add --server {client.server}"
        )


def _another(client: Client, settings: Settings) -> str:
    expected = installation_id(settings)
    if expected is None and settings.file is None:
        return ""
    found, storage = served_by(client)
    if found is not None and found == expected:
        return ""
    ours = f"of {settings.file}" if settings.file else f"in {settings.root}"
    state = "" if expected else ", which was never started"
    return (
        f"the server at {client.server} belongs to another installation (data in {storage}) than "
        f"the one {ours}{state}"
    )
