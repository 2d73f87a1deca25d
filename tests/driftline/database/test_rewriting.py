"""What was changed is gone from the database's file, too, once its readers have ended."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import text

from driftline.database.dialects import write_anew
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
