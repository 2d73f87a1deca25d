import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from driftline.app.demo.replay import WINDOWS, Replay
from driftline.app.demo.run import MARKER, declare, fresh_folder
from driftline.errors import ConflictError
from driftline.monitors.schedule import Schedule, due_windows

START, END = datetime(2026, 9, 19, tzinfo=UTC), datetime(2026, 11, 18, tzinfo=UTC)


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


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with fresh_folder(tmp_path):
        (tmp_path / "store").touch()

        with pytest.raises(ConflictError, match="is running here"), fresh_folder(tmp_path):
            pass

        assert (tmp_path / "store").exists()


def test_a_demo_that_was_killed_does_not_bar_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from driftline.app.demo.run import fresh_folder\n"
        "fresh_folder(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL

    with fresh_folder(folder):
        assert (folder / MARKER).exists()


def test_weeks_are_whole_and_the_last_ends_with_the_replay() -> None:
    replay: Any = SimpleNamespace(start=START, end=END)
    declared = declare(
        model=Path("m"), reference=Path("r"), start=START, end=END,
        pager_url="http://127.0.0.1:9/", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )  # fmt: skip

    for monitor in WINDOWS:
        spec = next(one["spec"] for one in declared if one["name"] == monitor)
        first = datetime.fromisoformat(spec["start"])
        delay = timedelta(seconds=spec.get("delay_s", 0))
        due = [window.end for window in due_windows(Schedule(spec["schedule"]), first, END)]

        assert due[-1] == END
        assert Replay.window_ends(replay, monitor, END) == [
            end for end in due if end + delay <= END
        ]
