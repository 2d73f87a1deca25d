"""What was changed is gone from the database's file, too, and a probe tells who takes writes."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import event, text

from driftline.database.dialects import write_anew, write_failure
from driftline.database.engine import read_connection

SECRET = "Lovelace" * 50


def test_bytes_of_changed_rows_are_forgotten_when_readers_have_ended(engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (said TEXT)"))
        connection.execute(text("INSERT INTO notes VALUES (:said)"), {"said": SECRET})
    with read_connection(engine) as reader:
        reader.execute(text("SELECT said FROM notes")).all()
        with engine.begin() as connection:
            connection.execute(text("UPDATE notes SET said = ''"))
        timer = threading.Timer(0.5, reader.close)
        timer.start()
        write_anew(engine, ["notes"])
        timer.join()

    if engine.dialect.name == "sqlite":
        file = Path(engine.url.database)
        left = [one for one in file.parent.glob(f"{file.name}*") if b"Lovelace" in one.read_bytes()]
        assert left == []


def test_a_probe_writes_and_says_what_takes_no_writes(engine) -> None:
    assert write_failure(engine) == ""

    sqlite, read_only = "PRAGMA query_only = ON", "SET default_transaction_read_only = on"
    words = sqlite if engine.dialect.name == "sqlite" else read_only

    @event.listens_for(engine, "connect")
    def forbid(connection, _entry):
        connection.cursor().execute(words)
        connection.commit()

    engine.dispose()
    assert "only" in write_failure(engine)
