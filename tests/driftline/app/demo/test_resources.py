import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from driftline.app.demo.resources import cadences, declare, write
from driftline.monitors.schedule import Schedule, due_windows

START, END = datetime(2026, 9, 19, tzinfo=UTC), datetime(2026, 11, 18, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # Of the Standard Webhooks specification.


def _declared() -> list[dict[str, Any]]:
    return declare(
        model=Path("/demo/flights.skops"),
        reference=Path("/demo/reference.parquet"),
        start=START,
        end=END,
        pager_url="http://127.0.0.1:9/pager",
        secret=SECRET,
    )


def test_the_alarm_on_news_is_silent_in_a_gap_so_that_it_hears_the_next() -> None:
    (drift,) = [one for one in _declared() if one["spec"].get("metric_name") == "new_tickets"]

    assert drift["spec"]["treat_missing_data"] == "notBreaching"
    assert drift["spec"]["evaluation_range"] == 1


def test_the_file_holds_the_same_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "resources.yaml"

    write(_declared(), file)

    assert list(yaml.safe_load_all(file.read_text())) == _declared()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_weeks_are_whole_and_the_last_ends_with_the_replay() -> None:
    for cadence in cadences(START, END):
        schedule = next(one["spec"] for one in _declared() if one["name"] == cadence.monitor)
        found = due_windows(Schedule(schedule["schedule"]), cadence.first, END)

        assert [window.end for window in found][-1] == END
        assert cadence.first - START < cadence.length
