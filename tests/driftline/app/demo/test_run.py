"""The demo empties a folder of its own, and no other."""

from pathlib import Path

import pytest

from driftline.app.demo.run import MARKER, make_folder
from driftline.errors import ConflictError, InputError


def test_only_a_demos_own_folder_is_emptied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "demo"
    make_folder(folder)
    (folder / "store").mkdir()
    (folder / "link").symlink_to(outside)

    make_folder(folder)
    with pytest.raises(ConflictError):
        make_folder(tmp_path)
    with pytest.raises(InputError):
        make_folder(outside / "kept")

    assert [entry.name for entry in folder.iterdir()] == [MARKER]
    assert (outside / "kept").exists()
