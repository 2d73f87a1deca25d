"""The supervisor: whatever happens to a log, the process that writes it goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from driftline.errors import InputError, UnavailableError
from driftline.up import start


def test_a_log_that_cannot_be_written_does_not_hold_its_process_up(tmp_path: Path) -> None:
    settings = tmp_path / "driftline.toml"
    # It is told of in more lines than a pipe holds.
    key = r"\n".join(["x" * 1000] * 500)
    settings.write_text(f'[server]\n"{key}" = 1\n')
    (tmp_path / "server.log").symlink_to("/dev/full")

    supervisor = start(settings, only=["server"], log_folder=tmp_path)
    try:
        with pytest.raises(UnavailableError, match="server: ended with code 3"):
            supervisor.wait_ready(20)
    finally:
        supervisor.stop()


@pytest.mark.parametrize(
    ("transport", "wrong", "right"),
    [("local", "sidecar", "capture"), ("kafka", "capture", "sidecar, sink")],
)
def test_the_roles_depend_on_the_transport(transport: str, wrong: str, right: str) -> None:
    with pytest.raises(InputError, match=right):
        start(None, only=[wrong], transport=transport)


@pytest.mark.parametrize("section", ["server", "dashboard", "metrics"])
def test_a_listener_for_others_is_refused_before_anything_starts(
    tmp_path: Path, section: str
) -> None:
    (tmp_path / "driftline.toml").write_text(f'[{section}]\nhost = "0.0.0.0"\n')

    found = subprocess.run(
        [sys.executable, "-m", "driftline", "up"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert found.returncode == 2
    assert f'[{section}] host "0.0.0.0": while [auth]' in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["driftline.toml"]
