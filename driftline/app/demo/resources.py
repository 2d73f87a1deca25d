"""The demo's resources: the documents that any user would write, applied the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from string import Template
from typing import Any

import yaml

ENDPOINT = "flights"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
LABELS_KNOWN_AFTER = timedelta(days=2)
# A week's labels are all loaded a day after the last of them are known.
LABELLED_AFTER = LABELS_KNOWN_AFTER + DAY
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
# By monitor: the length of its windows, and how long after its end one is judged.
WINDOWS = {
    "flights-data-quality": (DAY, timedelta()),
    "flights-model-quality": (WEEK, LABELLED_AFTER),
    "flights-bias": (WEEK, LABELLED_AFTER),
    "flights-attribution": (WEEK, timedelta()),
}


@dataclass(frozen=True, slots=True)
class Cadence:
    """When the windows of one monitor are due."""

    monitor: str
    first: datetime
    length: timedelta
    delay: timedelta  # From a window's end until it is judged.

    def ends(self, until: datetime) -> list[datetime]:
        """Return the ends of all windows that are due at or before a moment."""
        count = max(0, (until - self.delay - self.first) // self.length)
        return [self.first + (index + 1) * self.length for index in range(count)]


def cadences(start: datetime, end: datetime) -> list[Cadence]:
    """Return when the windows of each monitor are due; weeks are whole, the last ends at `end`."""
    return [
        Cadence(monitor, end - (end - start) // length * length, length, delay)
        for monitor, (length, delay) in WINDOWS.items()
    ]


def declare(
    *, model: Path, reference: Path, start: datetime, end: datetime, pager_url: str, secret: str
) -> list[dict[str, Any]]:
    """Return the demo's resources, ready to be applied all or nothing."""
    day, week, *_ = cadences(start, end)
    values = {
        "model": str(model), "reference": str(reference), "pager_url": pager_url, "secret": secret,
        "day": day.first.isoformat(), "week": week.first.isoformat(),
        "labelled_after_s": LABELLED_AFTER.total_seconds(),
    }  # fmt: skip
    text = Template(Path(__file__).with_name("resources.yaml").read_text(encoding="utf-8"))
    # What JSON writes is YAML, too.
    written = {name: json.dumps(value) for name, value in values.items()}
    found: list[dict[str, Any]] = yaml.safe_load(
        text.substitute(written, weekday=WEEKDAYS[end.weekday()])
    )
    return found


def alarms_of(resources: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the spec of each alarm by its name."""
    return {one["name"]: one["spec"] for one in resources if one["kind"] == "Alarm"}


def write(resources: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Write resources as YAML for their owner alone, since they hold a secret."""
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump_all(resources, sort_keys=False), encoding="utf-8")
