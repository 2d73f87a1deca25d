import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from driftline.app.demo.home import MARKER, Home, free_port
from driftline.app.settings.settings import load
from driftline.errors import ConflictError, InputError


def test_a_second_demo_starts_with_a_clean_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "demo"
    with Home(folder) as home:
        home.write_settings()
        (folder / "store").mkdir()
        (folder / "store" / "table").touch()
        (folder / "link").symlink_to(outside)

    with Home(folder):
        left = sorted(entry.name for entry in folder.iterdir())

    assert left == [MARKER]
    assert (outside / "kept").exists()


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(ConflictError, match="not a demo's folder"), Home(tmp_path):
        pass

    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")

    with pytest.raises(InputError, match="cannot be used"), Home(tmp_path / "demo"):
        pass


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with Home(folder) as home:
        home.write_settings()

        with pytest.raises(ConflictError, match="a demo is running here"), Home(folder):
            pass

        assert home.settings_file.exists()


def test_a_demo_that_was_killed_does_not_bar_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from driftline.app.demo.home import Home\n"
        "Home(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL

    with Home(folder) as home:
        assert home.folder == folder


def test_the_settings_are_understood_and_keep_to_the_folder(tmp_path: Path) -> None:
    with Home(tmp_path / 'a "quoted" place') as home:
        home.write_settings()
        found = load(home.settings_file, environment={})

    assert found.root == str(home.folder / "store")
    assert found.scheduler.clock == f"file:{home.clock_file}"
    assert found.capture.retention_days == found.alarms.retention_days == 400
    assert found.notify.allow_networks == ["127.0.0.0/8"]


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]

        found = free_port(taken)

    assert found != taken
    assert free_port(taken) == taken
