"""The windows that SageMaker has judged, judged once more both ways, and each difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from driftline.app.from_sagemaker.descriptions import Descriptions, Job, job_of, timing_of
from driftline.app.from_sagemaker.places import Places
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import DriftlineError, InputError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from driftline.monitors.schedule import Schedule

HOUR = timedelta(hours=1)
# Why driftline's own judgement leaves out what SageMaker tells (docs/compat.md, "What differs").
WHY_NOT = {
    "data_type_check": "the column's type still fits: SageMaker reads it from each value's text",
    "completeness_check": "missing values are no more than the reference's by more than chance",
    "baseline_drift_check": "rows differ by no more than chance and the tolerance explain: "
    "SageMaker's threshold is the same for any number of rows",
    "missing_column_check": "every column is there: SageMaker counts them by position",
    "extra_column_check": "no column is new: SageMaker counts them by position",
    "categorical_values_check": "values outside the domain are no more than chance explains",
}
WHY_ONLY = "SageMaker does not check this, or not by this number of rows"


@dataclass(frozen=True, slots=True)
class Difference:
    """A finding of one side: feature, check, what that side says, and why the other does not."""

    feature: str
    check: str
    said: str
    why: str


@dataclass(frozen=True, slots=True)
class ParityWindow:
    """One window as SageMaker judged it, as driftline does the same way, and by its own test."""

    monitor: str
    start: str
    end: str
    sagemaker: int
    compat: int
    driftline: int
    differs: tuple[Difference, ...]  # From driftline's --compat: none is expected.
    dropped: tuple[Difference, ...]  # Told by SageMaker, not by driftline's own test.
    added: tuple[Difference, ...]  # Told by driftline's own test alone.

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


Skip = Callable[[str, str], None]


def parity(found: Descriptions, places: Places, skip: Skip) -> Iterator[ParityWindow]:
    """Judge again every window of data quality whose result, captures and baseline lie here.

    ``skip`` gets each schedule or window that cannot be judged, and the reason.
    """
    for name, schedule in found.schedules.items():
        job = job_of(schedule, found.definitions)
        if job is None or job.is_batch or job.kind != "data-quality":
            continue
        captured = _captured(found, places, job.endpoint)
        results = places.local(f"{job.output}/{job.endpoint}/{name}") if job.output else None
        baseline = {key: places.local(getattr(job, key)) for key in ("statistics", "constraints")}
        missing = [
            text
            for text, place in (
                (f"captures of {job.endpoint}", captured),
                (f"results in {job.output or 'its output'}", results),
                *((f"{key}.json of the baseline", place) for key, place in baseline.items()),
            )
            if place is None or not place.exists()
        ]
        if missing or captured is None or results is None:
            skip(name, f"not here: {', '.join(missing)}; copy it, and name the copy by --map")
            continue
        with TemporaryDirectory() as folder:
            for key, place in baseline.items():
                assert place is not None
                shutil.copyfile(place, Path(folder, f"{key}.json"))
            reference = Baseline.load(folder)
        cron = Schedule(timing_of(schedule)[0])
        for file in sorted(results.glob("*/*/*/*/constraint_violations.json")):
            window = _window(cron, file.relative_to(results).parts)
            lines = [] if window is None else _lines(captured, window)
            if window is None or not lines:
                skip(f"{name} {file.parent}", "no captured lines of its window lie here")
                continue
            try:
                yield _judged(name, window, _violations(file), lines, reference, job)
            except DriftlineError as error:
                skip(f"{name} {window.start:%Y-%m-%dT%H:%MZ}", str(error))


def _judged(
    name: str,
    window: Window,
    theirs: Mapping[tuple[str, str], str],
    lines: list[str],
    reference: Baseline,
    job: Job,
) -> ParityWindow:
    if job.preprocess:
        raise InputError(f"rows pass {job.preprocess} first; run it before comparing")
    same = _told(check(lines, reference, compat=True))
    own = _told(check(lines, reference))
    differs = [
        Difference(*key, theirs[key], "driftline --compat does not find it")
        for key in theirs.keys() - same.keys()
    ] + [
        Difference(*key, same[key], "SageMaker does not tell it")
        for key in same.keys() - theirs.keys()
    ]
    differs += [
        Difference(*key, same[key], f"SageMaker says: {theirs[key]}")
        for key in theirs.keys() & same.keys()
        if theirs[key].strip() != same[key].strip()
    ]
    dropped = [
        Difference(*key, theirs[key], WHY_NOT.get(key[1], "see docs/compat.md, What differs"))
        for key in theirs.keys() - own.keys()
    ]
    added = [Difference(*key, own[key], WHY_ONLY) for key in own.keys() - theirs.keys()]
    start, end = (moment.isoformat() for moment in (window.start, window.end))
    lists = (tuple(sorted(one, key=lambda each: (each.feature, each.check)))
             for one in (differs, dropped, added))  # fmt: skip
    return ParityWindow(name, start, end, len(theirs), len(same), len(own), *lists)


def _captured(found: Descriptions, places: Places, endpoint: str) -> Path | None:
    """Return the folder of an endpoint's captured lines; None where it does not lie here."""
    uri = str(found.capture_of(endpoint).get("DestinationS3Uri") or "").rstrip("/")
    return places.local(f"{uri}/{endpoint}") if uri else None


def _window(cron: Schedule, parts: tuple[str, ...]) -> Window | None:
    """Return the window of a result by its folder: yyyy/mm/dd/hh is when it was due."""
    try:
        year, month, day, hour = map(int, parts[:4])
        end = datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None
    start = cron.fired_before(end - timedelta(microseconds=1)) if cron.is_recurring else None
    return Window(start or end - HOUR, end)


def _lines(captured: Path, window: Window) -> list[str]:
    """Return the files of a window's hours, of all variants."""
    hours = int((window.end - window.start) / HOUR)
    folders = (f"{window.start + HOUR * at:%Y/%m/%d/%H}" for at in range(hours))
    return [
        str(file) for folder in folders for file in sorted(captured.glob(f"*/{folder}/*.jsonl"))
    ]


def _violations(file: Path) -> dict[tuple[str, str], str]:
    try:
        listed = json.loads(file.read_bytes())["violations"]
        return {
            (one["feature_name"], one["constraint_check_type"]): one["description"]
            for one in listed
        }
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{file}: not what SageMaker writes ({error!r})") from error


def _told(report: Report) -> dict[tuple[str, str], str]:
    return {
        (one.feature_name, one.constraint_check_type): one.description for one in report.violations
    }
