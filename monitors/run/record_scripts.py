"""Record scripts of a monitor on the server, from the installation's own folder only.

A script's error may quote a record, so only its type and the script's line are reported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from tempfile import TemporaryDirectory

from driftline.baseline.scripting import postprocess, preprocessed_records, script_in
from driftline.baseline.scripting_process import Record
from driftline.baseline.store import Baseline
from driftline.capture.sagemaker.export import lines_between
from driftline.capture.windows.window import Window
from driftline.errors import ConflictError, InputError, UnavailableError
from driftline.formats.capture_line import write_line
from driftline.formats.source import Source
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.report.report import Report
from driftline.monitors.report.reports import Reports
from driftline.monitors.run.captured_window import NO_DATA
from driftline.storage import is_remote

# The key of a report's details that names the script which made the rows.
SCRIPT = "preprocess"


def scripted_rows(
    root: str, definition: MonitorDefinition, window: Window, baseline: Baseline, folder: str
) -> Source | None:
    """Make the rows of a window by the monitor's ``preprocess_handler``; None: it has none."""
    if definition.preprocess is None:
        return None
    script = script_in(folder, definition.preprocess)
    try:
        rows = preprocessed_records(
            _records(root, definition.endpoint, window),
            script,
            signature=baseline.signature,
            compat=definition.compat,
            discreet=True,
            with_ids=True,
        )
    except ConflictError as error:
        raise UnavailableError(str(error)) from error
    if not rows.row_count:
        # As a window without records: it must not read as one in which all is right.
        raise InputError(f"{NO_DATA}: {definition.preprocess} gave no row for any of its records")
    return rows


def conclude(report: Report, definition: MonitorDefinition, folder: str) -> Report:
    """Note the script that made the rows, and call the ``postprocess_handler``, if there is one."""
    if definition.preprocess is not None:
        # The captured rows are others: conditions on the script's columns do not find them again.
        report = replace(report, details={**report.details, SCRIPT: definition.preprocess})
    if definition.postprocess is not None:
        script = script_in(folder, definition.postprocess)
        postprocess_report(report, script, discreet=True)
    return report


def postprocess_report(
    report: Report | Reports,
    script: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    discreet: bool = False,
) -> None:
    """Call a script's ``postprocess_handler()``; ``output_path`` names the documents' folder.

    For several kinds it has a subfolder each.
    """
    if folder is not None and not is_remote(os.fspath(folder)):
        postprocess(script, folder, discreet=discreet)
        return
    with TemporaryDirectory(prefix="driftline-report-") as place:
        report.save(place)
        postprocess(script, place, discreet=discreet)


def _records(root: str, endpoint: str, window: Window) -> Iterator[Record]:
    for line in lines_between(root, endpoint, window.start, window.end):
        yield json.loads(write_line(line))
