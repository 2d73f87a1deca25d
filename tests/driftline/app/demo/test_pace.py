from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from driftline.app import processes
from driftline.app.demo.pace import Cadence, ClockFile, Pace
from driftline.app.settings.schema import Scheduler
from driftline.app.settings.settings import Settings

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = Cadence("daily", START, DAY, timedelta())
WEEKLY = Cadence("weekly", START + DAY, 7 * DAY, 3 * DAY)


class Labels:
    """Notes until when labels were asked for, and what the clock showed then."""

    def __init__(self, clock: ClockFile) -> None:
        self.clock = clock
        self.loads: list[tuple[int, int]] = []

    def load_until(self, moment: datetime, event_ids: object) -> None:
        self.loads.append(((moment - START) // DAY, (self.clock.time - START) // DAY))


class Installation:
    """How far each monitor is, and how often that is asked."""

    def __init__(self) -> None:
        self.judged: dict[str, int] = {}
        self.questions: list[str] = []

    def judged_until(self, monitor: str) -> datetime | None:
        self.questions.append(monitor)
        return START + self.judged[monitor] * DAY if monitor in self.judged else None


@pytest.fixture
def clock(tmp_path: Path) -> ClockFile:
    return ClockFile(tmp_path / "clock", START)


def _days(clock: ClockFile) -> int:
    return (clock.time - START) // DAY


def test_the_clock_runs_at_most_two_windows_ahead_of_the_monitor(clock: ClockFile) -> None:
    installation = Installation()
    pace = Pace(START, clock, [DAILY], installation.judged_until, Labels(clock))

    seen = []
    for judged in (0, 1, 4):
        installation.judged["daily"] = judged
        pace.follow(lambda: 5, {})
        seen.append(_days(clock))

    assert seen == [2, 3, 5]


def test_the_slowest_monitor_holds_the_clock_back(clock: ClockFile) -> None:
    installation = Installation()
    installation.judged = {"daily": 30}
    pace = Pace(START, clock, [DAILY, WEEKLY], installation.judged_until, Labels(clock))

    pace.follow(lambda: 30, {})

    # Its first window ends on the eighth day, is judged three days later, and a day is left.
    assert _days(clock) == 12


def test_nobody_is_asked_whose_last_answer_lets_the_clock_go_on(clock: ClockFile) -> None:
    installation = Installation()
    installation.judged = {"daily": 2}
    pace = Pace(START, clock, [DAILY, WEEKLY], installation.judged_until, Labels(clock))

    for whole in (1, 2, 3):
        pace.follow(partial(int, whole), {})

    assert installation.questions == ["daily"]


def test_only_the_slowest_monitor_is_asked_while_it_holds_the_clock_back(clock: ClockFile) -> None:
    installation = Installation()
    pace = Pace(START, clock, [DAILY, WEEKLY], installation.judged_until, Labels(clock))
    pace.follow(lambda: 30, {})
    installation.questions.clear()

    for _ in range(3):
        pace.follow(lambda: 30, {})

    assert installation.questions == ["daily"] * 3
    installation.judged = {"daily": 30, "weekly": 8}
    pace.follow(lambda: 30, {})
    assert _days(clock) == 19


def test_labels_are_loaded_before_the_clock_moves(clock: ClockFile) -> None:
    installation, labels = Installation(), Labels(clock)
    pace = Pace(START, clock, [DAILY], installation.judged_until, labels)

    installation.judged["daily"] = 9
    pace.follow(lambda: 2, {})
    pace.follow(lambda: 2, {})
    pace.follow(lambda: 6, {})

    assert labels.loads == [(2, 0), (6, 2)]
    assert pace.passed_days == 6


def test_the_clock_never_goes_back(tmp_path: Path) -> None:
    clock = ClockFile(tmp_path / "clock", START + DAY)

    clock.advance(START)

    assert datetime.fromisoformat((tmp_path / "clock").read_text().strip()) == START + DAY


def test_after_the_replay_the_clock_goes_on_as_fast_as_real_time(tmp_path: Path) -> None:
    clock = ClockFile(tmp_path / "clock", START)
    settings = Settings(scheduler=Scheduler(clock=f"file:{tmp_path / 'clock'}"))
    read = processes.clock(settings)
    stood = read()

    clock.go_on(datetime.now(UTC) - timedelta(seconds=90))

    assert stood == START
    assert START + timedelta(seconds=90) <= read() < START + timedelta(seconds=150)


def test_a_cadence_names_the_windows_that_are_due() -> None:
    assert WEEKLY.ends(START + 10 * DAY) == []
    assert WEEKLY.ends(START + 11 * DAY) == [START + 8 * DAY]
    assert len(DAILY.ends(START + 365 * DAY)) == 365
