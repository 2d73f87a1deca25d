"""Whether a server belongs to the installation of these settings, by its database's id."""

from __future__ import annotations

from sqlalchemy import inspect, select
from sqlalchemy.exc import SQLAlchemyError

from driftline.app.client.client import Client
from driftline.database.engine import failure_sentence, open_database, sqlite_file
from driftline.errors import InputError, UnavailableError
from driftline.serving.tables import installation
from driftline.settings.settings import Settings


class WrongServerError(InputError):
    """The server that answers belongs to another installation than the settings."""


def require_same(client: Client, settings: Settings) -> None:
    """Refuse a server of another installation; any passes where nothing is installed here."""
    expected = installation_id(settings)
    if expected is None and settings.file is None:
        return
    served = client.installation()
    if served["id"] != expected:
        ours = f"of {settings.file}" if settings.file else f"in {settings.root}"
        raise WrongServerError(
            f"the server at {client.server} belongs to another installation (data in "
            f"{served['storage']}) than the one {ours}; to use yours, set another [server] port "
            f"and run: driftline up; to use this server, add --server {client.server}"
        )


def installation_id(settings: Settings) -> str | None:
    """Return the id of the installation whose database the settings name; None before its start."""
    file = sqlite_file(settings.database_url)
    if file is not None and not file.is_file():
        return None  # Opening it would create it.
    engine = open_database(settings.database_url, read_only=True)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(installation.name):
                return None
            return connection.scalar(select(installation.c.id))
    except SQLAlchemyError as error:
        raise UnavailableError(failure_sentence(engine, error)) from error
    finally:
        engine.dispose()
