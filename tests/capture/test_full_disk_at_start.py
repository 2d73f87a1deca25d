"""The volume of the spool is full before the first record: what is lost is counted and logged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import driftline as dl
from tests.kit.installation import Installation
from tests.kit.waiting import wait


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of two megabytes, full but for no byte."""
    if os.geteuid():
        pytest.skip("only root mounts volumes")
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    (folder / "other").write_bytes(b"y" * (2 << 20))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_records_lost_to_a_disk_full_at_the_start_are_counted(
    volume: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = volume / "spool"
    with dl.Logger("shop", spool_dir=spool) as log:
        for number in range(200):
            log({"km": number}, 1)
        lost_at_first = log.counters["dropped"]
        assert caplog.text.count("drops records") == 1

        (volume / "other").unlink()
        wait(lambda: log({"km": 1}, 1) and log.counters["stored"])
        assert caplog.text.count("records again") == 1
        lost = log.counters["dropped"]

    assert lost_at_first == 200
    assert f"dropped={lost}" in caplog.text


def test_what_a_full_disk_dropped_is_written_down_at_the_end(tmp_path: Path, volume: Path) -> None:
    spool = volume / "spool"
    with dl.Logger("shop", spool_dir=spool) as log:
        for number in range(200):
            log({"km": number}, 1)
        (volume / "other").unlink()

    settings = f'[capture]\nspool_dir = "{spool}"'
    with Installation(tmp_path / "installation", settings, is_forked=True) as installation:
        with dl.Logger("shop", spool_dir=spool) as log:
            log({"km": 1}, 1)
        installation.captured("shop", 1)
        path = "/api/v1/endpoints/shop/capture"
        found = installation.wait(lambda: (got := installation.get(path))["dropped"] and got)

    assert found["dropped_by_reason"] == {"full": 200}
