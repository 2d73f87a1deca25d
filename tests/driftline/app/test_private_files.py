"""What an installation stores is for its user alone."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from driftline.app.processes import prepare
from driftline.capture.tables.dataset import Gap, gap_folder, record_gaps
from driftline.formats.location import locate
from driftline.settings.settings import load


@pytest.fixture
def usual_mask():
    """As most shells have it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_mask")
def test_tables_and_documents_are_for_their_user_alone(tmp_path):
    file = tmp_path / "driftline.toml"
    file.write_text("[storage]\nroot = 'store'\n")
    settings = load(file, environment={})

    prepare(settings)
    gap = Gap("s", 1, "flights", "full", 3, 0, None, datetime(2026, 1, 10, tzinfo=UTC))
    record_gaps(gap_folder(settings.root), [gap])
    (locate(settings.root) / "baselines" / "flights" / "statistics.json").write(b"{}")

    stored = [Path(settings.root), *Path(settings.root).rglob("*")]
    assert len(stored) > 6
    assert {path.name: path.stat().st_mode & 0o077 for path in stored} == dict.fromkeys(
        (path.name for path in stored), 0
    )
