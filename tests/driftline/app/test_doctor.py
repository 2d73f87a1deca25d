"""The doctor: what it says of an installation that is well, and of each way to be ill."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from driftline.app.doctor import Finding, examine, worst
from driftline.database.engine import using_database
from driftline.database.migrations import migrate
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.settings.settings import Settings
from tests.servers.commands import driftline
from tests.servers.settings import settings_in

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation in a folder of its own whose processes do not run."""
    text = "[storage]\nroot = 'store'\n[server]\nport = 1\n[dashboard]\nport = 2\n"
    found = settings_in(tmp_path, text)
    Path(found.root).mkdir(mode=0o700)
    with using_database(found.database_url) as engine:
        migrate(engine)
    return found


def findings_of(settings: Settings) -> dict[str, Finding]:
    return {one.what: one for one in examine(settings, now=lambda: NOW)}


def test_a_new_installation_has_no_defect_and_each_warning_has_its_mend(settings):
    found = findings_of(settings)

    assert worst(found.values()) in ("ok", "warning")
    assert [found[one].verdict for one in ("access", "database", "monitors")] == ["ok"] * 3
    assert found["server"].verdict == "warning"
    assert all(one.mend for one in found.values() if one.verdict != "ok")


def test_an_overdue_monitor_is_a_defect_and_a_folder_that_others_may_read_a_warning(settings):
    settings.spool_dir.mkdir()
    settings.spool_dir.chmod(0o755)  # Whatever umask an earlier test has left.
    with using_database(settings.database_url) as engine, engine.begin() as connection:
        definition = MonitorDefinition("daily", "flights", "flights", start=NOW - timedelta(days=9))
        put_definition(connection, definition, NOW)

    found = findings_of(settings)

    assert [one.what for one in found.values() if one.verdict == "defect"] == ["monitors"]
    assert "daily" in found["monitors"].found
    disks = [(one.verdict, one.found) for one in examine(settings, now=lambda: NOW)]
    assert [verdict for verdict, said in disks if "open to all" in said] == ["warning"]


def test_the_command_says_the_mend_and_ends_with_1_on_a_defect(settings, tmp_path):
    asked = ("doctor", "-c", tmp_path / "driftline.toml")

    Path(settings.root, "driftline.db").unlink()
    ill = driftline(*asked, "--json")

    assert ill.returncode == 1
    assert json.loads(ill.stdout)["verdict"] == "defect"
    assert "driftline migrate" in ill.stdout
    assert not Path(settings.root, "driftline.db").exists()  # It only looks.
