"""The demo empties a folder of its own, and no other, and says what does not add up."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from driftline.app.demo import run
from driftline.app.demo.reconcile import requests, table_of
from driftline.app.demo.run import MARKER, make_folder
from driftline.errors import ConflictError, InputError


def test_only_a_demos_own_folder_is_emptied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "demo"
    os.close(make_folder(folder))
    (folder / "store").mkdir()
    (folder / "link").symlink_to(outside)

    lock = make_folder(folder)
    for taken in (folder, tmp_path):
        with pytest.raises(ConflictError):
            make_folder(taken)
    with pytest.raises(InputError):
        make_folder(outside / "kept")

    os.close(lock)
    assert [entry.name for entry in folder.iterdir()] == [MARKER]
    assert (outside / "kept").exists()


def test_missing_rows_differ_and_the_exit_code_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = pa.table({"event_id": ["a"], "row_index": [0], "status": [200]})
    write_deltalake(str(tmp_path / "capture/flights"), stored)
    sent: Any = SimpleNamespace(event_ids={0: "a"}, requests=[0])
    sent.table = pa.concat_tables([stored, stored])

    assert table_of([*requests(tmp_path, sent)]).count("DIFFERS") == 2  # Rows, and rows once.
    replaced = {"os.environ": {}, "signal.signal": Mock(), "SupervisorProcess": Mock()}
    for name, value in replaced.items():
        monkeypatch.setattr(f"driftline.app.demo.run.{name}", value)
    monkeypatch.setattr(run, "_play", lambda *_: False)
    assert run.run_demo(days=9, browser=False, stay=False, folder=tmp_path / "demo") == 3
