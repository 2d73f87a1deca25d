"""What stays of an execution's documents when rows of its window are erased: counts and verdicts.

A sketch, a list of frequent values, a smallest or largest value and a sum hold, or tell together
with the rows that are left, what a single row held; so do the sentences of a cause. Nothing stays
but what is listed here, so that whatever a kind of monitor writes tomorrow goes, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import pyarrow.fs as pafs

from driftline.capture.erasure.clearing import ERASED
from driftline.capture.tables.storage import get_file, open_storage, put_file, trouble
from driftline.formats.json.jackson import to_jackson
from driftline.monitors.report.report import REPORT, STATISTICS, VIOLATIONS
from driftline.monitors.run.record_scripts import SCRIPT

# Of report.json, beside what is made empty below.
_REPORT = (
    "format", "kind", "window", "baseline_version", "passed", "decided", "row_count",
    "request_count", "late_count", "unparsed_count", "decoder_fault_count", "failed_count",
    "labelled_count", "unfit_label_count", "disputed_label_count", "stray_label_count",
    "violation_count", "page_count", "max_drift_ratio", "alpha", "insufficient_data",
    "undecidable", "unjudged_count", "unjudged",
)  # fmt: skip
_VIOLATION = (
    "feature_name", "constraint_check_type", "severity", "ratio", "share_of_blame", "row_count",
)  # fmt: skip
_NO_VALUES: Mapping[str, Any] = {
    "description": ERASED, "cause": ERASED, "segment": None, "onset": None, "within": "",
    "unit": None, "values": [], "predicate": None, "first_rows": [],
}  # fmt: skip
# Of a column that was compared: all but the set of values that moved, and its words.
_FEATURE_WORDS: Mapping[str, Any] = {"set": None, "change": ""}
_STATISTICS = ("num_present", "num_missing")
# Sums, extremes, means of a column are no measures of a model.
_METRIC_WORDS = ("name", "operator", "facet", "facet_value", "label", "severity", "note")


def clear_folder(root: str, folder: str, *, dry_run: bool = False) -> bool:
    """Take what may be values of rows out of the documents in an execution's folder.

    Doing it twice is safe, and so is being killed in between: each document is replaced as a whole.
    """
    changed = False
    filesystem, path = open_storage(root)
    try:
        selector = pafs.FileSelector(f"{path}/{folder}", recursive=True, allow_not_found=True)
        entries = [one for one in filesystem.get_file_info(selector) if one.is_file]
        for entry in entries:
            clear = _CLEARERS.get(entry.base_name)
            if clear is None:
                changed = True
                if not dry_run:
                    filesystem.delete_file(entry.path)
                continue
            before = get_file(root, folder, entry.base_name) or b""
            after = clear(before)
            if after != before:
                changed = True
                if not dry_run:
                    put_file(root, folder, entry.base_name, after)
    except OSError as error:
        raise trouble(f"{root}/{folder}", error) from error
    return changed


def unrecorded_folders(
    root: str, recorded: Mapping[str, Collection[str]], since: datetime
) -> set[str]:
    """Find the folders of runs that were killed before they were recorded."""
    filesystem, path = open_storage(root)
    found: set[str] = set()
    try:
        for monitor, ids in recorded.items():
            folder = f"{path}/executions/{monitor}"
            selector = pafs.FileSelector(folder, recursive=True, allow_not_found=True)
            for entry in filesystem.get_file_info(selector):
                stamp, _, rest = entry.path.removeprefix(f"{folder}/").partition("/")
                identity, _, name = rest.partition("/")
                if name and identity not in ids and stamp >= f"{since:%Y%m%dT%H%M%SZ}":
                    found.add(f"executions/{monitor}/{stamp}/{identity}")
    except OSError as error:
        raise trouble(f"{root}/executions", error) from error
    return found


def _report(content: bytes) -> bytes:
    found = json.loads(content)
    details = found.get("details") or {}
    kept = {
        **{key: found.get(key) for key in _REPORT if key in found},
        "headline": ERASED if found.get("headline") else "",
        "cause": ERASED if found.get("cause") else "",
        "stray_label_ids": [],
        "violations": [_violation(one) for one in found.get("violations", [])],
        "expected_violations": [
            {**_violation(one), "mark": {"id": (one.get("mark") or {}).get("id")}}
            for one in found.get("expected_violations", [])
        ],
        "features": [{**one, **_FEATURE_WORDS} for one in found.get("features", [])],
        "metrics": [
            {
                key: value
                for key, value in one.items()
                if key in _METRIC_WORDS or isinstance(value, int | float | None)
            }
            for one in found.get("metrics", [])
        ],
        "segments": [],
        "details": {SCRIPT: details[SCRIPT]} if SCRIPT in details else {},
        "erased": True,
    }
    return (json.dumps(kept, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _violation(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: found[key] for key in _VIOLATION if key in found}, **_NO_VALUES}


def _violations(content: bytes) -> bytes:
    found = json.loads(content)
    kept = [{**one, "description": ERASED} for one in found.get("violations", [])]
    return to_jackson({**found, "violations": kept}).encode()


def _statistics(content: bytes) -> bytes:
    found = json.loads(content)
    try:
        kept = {
            "version": found.get("version", 0.0),
            "dataset": {"item_count": found.get("dataset", {}).get("item_count", 0)},
            "features": [_column(one) for one in found["features"]],
        }
    # Of a model's quality: curves hold single scores. Or of a command, with anything in it.
    except (KeyError, TypeError, AttributeError):
        kept = {"version": 0.0}
    return to_jackson(kept).encode()


def _column(found: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: found[key] for key in ("name", "inferred_type") if key in found}
    for block in ("numerical_statistics", "string_statistics"):
        common = found.get(block, {}).get("common")
        if common is not None:
            kept[block] = {"common": {key: common[key] for key in _STATISTICS if key in common}}
    return kept


_CLEARERS = {REPORT: _report, VIOLATIONS: _violations, STATISTICS: _statistics}
