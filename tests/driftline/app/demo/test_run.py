"""The demo empties a folder of its own, and no other."""

import os
from pathlib import Path

import pytest

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
