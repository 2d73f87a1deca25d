"""Which server runs on which model files, so that none is removed under another server.

Each server records its use before it starts a model, and renews it while it lives; the use of a
dead server ends a minute later.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, delete, select

from driftline.database.upserts import upsert
from driftline.serving.resources import store
from driftline.serving.resources.artifacts import model_file
from driftline.serving.resources.endpoints import models_of
from driftline.serving.tables import servers, transform_jobs

LENGTH = timedelta(seconds=60)


def wanted_file(row: store.Stored) -> str | None:
    """Return the file of a model that is declared, ready or not; None where it has none."""
    if row.kind != "Model" or "path" not in row.spec:
        return None
    return model_file(row.name, row.content["digest"], Path(row.content["source"]))


def say_used(connection: Connection, server: str, files: Iterable[str], now: datetime) -> None:
    """Note which model files, relative to the storage root, a server uses for the next minute."""
    values = {"model_files": sorted(files), "until": now + LENGTH}
    statement = upsert(connection, servers).values(id=server, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def leave(connection: Connection, server: str) -> None:
    """Note that a server has ended, and with it what it used."""
    connection.execute(delete(servers).where(servers.c.id == server))


def unused(connection: Connection, files: Iterable[str], now: datetime) -> list[str]:
    """Return those of some model files that no declared model is and no server or job uses.

    In a transaction that holds all resources: what is declared or used stays so meanwhile.
    """
    connection.execute(delete(servers).where(servers.c.until <= now))
    models = store.list_kind(connection, "Model")
    kept = {wanted_file(row) for row in models if row.is_unfinished}
    for endpoint in store.list_kind(connection, "Endpoint"):
        models += models_of(endpoint).values()
    kept.update(model.made.get("file") for model in models)
    for used in connection.execute(select(servers.c.model_files)).scalars():
        kept.update(used)
    jobs = transform_jobs.c
    running = select(jobs.model).where(jobs.ended_at.is_(None))
    kept.update(model["file"] for model in connection.execute(running).scalars())
    return sorted(set(files) - kept)
