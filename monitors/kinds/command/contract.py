"""SageMaker's container contract: the inputs a command finds, and the outputs it writes.

One folder, named by the variable ``opt_ml``, stands for ``/opt/ml``. Output is untrusted: only
plain files of limited size at the expected paths are read, after all processes have ended.

References
----------
SageMaker developer guide, "Container Contract Inputs" and "Container Contract Outputs".
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from driftline.alerts.errors import DatapointError
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.putdata import read_put
from driftline.baseline.store import CONSTRAINTS, STATISTICS, Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.formats.json.jackson import read_json, to_jackson
from driftline.monitors.results.violation import DRIFT_CHECK, Severity, Violation

RECORDS = "processing/input/endpoint"
BASELINE = "processing/input/baseline"
OUTPUT = "processing/output"
METRICS = "output/metrics/cloudwatch/cloudwatch_metrics.jsonl"
MESSAGE = "output/message"
# The guide names the second place, the samples read the first.
CONFIGS = "config/processingjobconfig.json", "processing/processingjobconfig.json"
# The guide names the second, too.
VIOLATIONS = "constraint_violations.json", "constraints_violations.json"
DATASET_FORMAT = {
    "sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}
}
# Of documents and of the file of metrics.
LARGEST_BYTES = 16 << 20
MOST_VIOLATIONS = 1000
# SageMaker's longest exit message.
LONGEST_TEXT = 1024
LONGEST_NAME = 255
# What tells a monitor's metrics apart from those of others: not the command's to say.
OWN_DIMENSIONS = ("Endpoint", "MonitoringSchedule")


def prepare(
    place: Path, baseline: Baseline, window: Window, endpoint: str, monitor: str
) -> dict[str, str]:
    """Create the command's folders, and return the contract's variables."""
    for name in (RECORDS, OUTPUT, Path(METRICS).parent):
        (place / name).mkdir(parents=True)
    baseline.save(place / BASELINE)
    environment = {
        "dataset_format": json.dumps(DATASET_FORMAT, separators=(",", ":")),
        "dataset_source": str(place / RECORDS),
        "output_path": str(place / OUTPUT),
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": endpoint,
        "sagemaker_monitoring_schedule_name": monitor,
        "sagemaker_endpoint_datacapture_prefix": str(place / RECORDS),
        "start_time": f"{window.start:%Y-%m-%dT%H:%M:%SZ}",
        "end_time": f"{window.end:%Y-%m-%dT%H:%M:%SZ}",
    }
    for variable, name in (
        ("baseline_statistics", STATISTICS),
        ("baseline_constraints", CONSTRAINTS),
    ):
        if (file := place / BASELINE / name).is_file():
            environment[variable] = str(file)
    for name in CONFIGS:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(json.dumps({"Environment": environment}, indent=2))
    return {**environment, "opt_ml": str(place)}


def read_message(place: Path) -> str:
    """Return the exit message in one line; "" for none."""
    return _line((_read(place, MESSAGE) or b"").decode("utf-8", "replace"))


def read_documents(place: Path) -> dict[str, str]:
    """Return the window's statistics and constraints, as far as written."""
    found = {name: _document(place, f"{OUTPUT}/{name}") for name in (STATISTICS, CONSTRAINTS)}
    return {name: to_jackson(one) for name, one in found.items() if one is not None}  # type: ignore[arg-type]  # JSON values.


def read_violations(place: Path) -> tuple[Violation, ...]:
    """Return the command's violations."""
    for name in VIOLATIONS:
        document = _document(place, f"{OUTPUT}/{name}")
        if document is None:
            continue
        listed = document.get("violations", [])
        if not isinstance(listed, list) or len(listed) > MOST_VIOLATIONS:
            raise InputError(f'{name}: expected a list "violations" of at most {MOST_VIOLATIONS:,}')
        return tuple(_violation(one, name, number) for number, one in enumerate(listed, 1))
    return ()


def read_metrics(place: Path, namespace: str, time: datetime) -> list[Datapoint]:
    """Return the metrics, each at most once, at the window's start whatever their time."""
    name = METRICS.rpartition("/")[2]
    text = (_read(place, METRICS) or b"").decode("utf-8", "replace")
    data = []
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        datum = read_json(line, f"{name}: line {number}")
        if not isinstance(datum, dict):
            raise InputError(f"{name}: line {number}: expected an object with MetricName and Value")
        data.append({key: value for key, value in datum.items() if key != "Timestamp"})
    if not data:
        return []
    try:
        points = read_put({"Namespace": namespace, "MetricData": data}, time)
    except DatapointError as error:
        raise InputError(f"{name}: {error}") from error
    known = {(one.name, *sorted(own_dimensions(one).items())) for one in points}
    if len(known) < len(points):
        raise InputError(
            f"{name}: a metric stands there twice with the same dimensions; expected one value, or "
            "one set of StatisticValues, for a window"
        )
    return points


def own_dimensions(point: Datapoint) -> dict[str, str]:
    """Return a metric's dimensions besides those of its monitor."""
    return {k: v for k, v in sorted(point.dimensions.items()) if k not in OWN_DIMENSIONS}


def _violation(entry: object, name: str, number: int) -> Violation:
    fields = ("feature_name", "constraint_check_type", "description")
    given = [entry.get(one) for one in fields] if isinstance(entry, Mapping) else []
    texts = [_line(one) for one in given if isinstance(one, str)]
    if len(texts) < len(fields) or not all(texts):
        raise InputError(f"{name}: violation {number}: expected the texts {', '.join(fields)}")
    assert isinstance(entry, Mapping)
    feature, check, description = texts
    severity: Severity = "ticket" if check == DRIFT_CHECK else "page"
    if entry.get("severity") in ("page", "ticket"):
        severity = entry["severity"]
    return Violation(
        feature[:LONGEST_NAME], check[:LONGEST_NAME], description, severity, cause=description
    )


def _document(place: Path, name: str) -> dict[str, object] | None:
    data, shown = _read(place, name), name.rpartition("/")[2]
    if data is None:
        return None
    found = read_json(data, shown)
    if not isinstance(found, dict):
        raise InputError(f"{shown}: expected a JSON object")
    return found


def _read(place: Path, name: str) -> bytes | None:
    """Read a plain file inside the folder; None where there is none."""
    path, shown = place / name, name.rpartition("/")[2]
    if not os.path.lexists(path):
        return None
    if path.parent.resolve() != path.parent:
        raise InputError(f"{shown}: its folder is a link; expected a plain file in {name}")
    try:
        # Neither through a link, nor waiting for whoever writes into a pipe.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise InputError(f"{shown}: a link, or closed to reading; expected a plain file") from None
    with os.fdopen(file, "rb") as stream:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise InputError(f"{shown}: a folder, device or link; expected a plain file")
        if about.st_size > LARGEST_BYTES:
            raise InputError(
                f"{shown}: {about.st_size:,} bytes; expected at most {LARGEST_BYTES:,}"
            )
        return stream.read()


def _line(text: str) -> str:
    """Return an untrusted text as one line of printable characters, cut to a limit."""
    plain = "".join(one if one.isprintable() else " " for one in text[: 4 * LONGEST_TEXT])
    return " ".join(plain.split())[:LONGEST_TEXT]
