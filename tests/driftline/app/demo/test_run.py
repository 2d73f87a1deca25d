"""The demo empties a folder of its own, and no other."""

from pathlib import Path

import pytest

from driftline.app.demo.run import MARKER, fresh_folder
from driftline.errors import ConflictError


def test_a_second_demo_starts_with_a_clean_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "demo"
    with fresh_folder(folder):
        (folder / "store").mkdir()
        (folder / "store" / "table").touch()
        (folder / "link").symlink_to(outside)

    with fresh_folder(folder):
        left = sorted(entry.name for entry in folder.iterdir())

    assert left == [MARKER]
    assert (outside / "kept").exists()


def test_a_folder_of_another_demo_or_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "demo"):
        (tmp_path / "demo" / "store").touch()
        with pytest.raises(ConflictError, match="is running here"), fresh_folder(tmp_path / "demo"):
            pass
        assert (tmp_path / "demo" / "store").exists()

    with pytest.raises(ConflictError, match="not a demo's folder"), fresh_folder(tmp_path):
        pass
    assert (tmp_path / "demo").exists()
