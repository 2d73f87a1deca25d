"""After a check: the user's postprocess_handler, with the documents at hand."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

from driftline.baseline.scripting import postprocess
from driftline.monitors.report.report import Report
from driftline.storage import is_remote


def postprocess_report(
    report: Report,
    script: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    quiet: bool = False,
    discreet: bool = False,
) -> None:
    """Call a script's ``postprocess_handler()``, ``output_path`` naming a folder of documents."""
    if folder is not None and not is_remote(os.fspath(folder)):
        postprocess(script, folder, quiet=quiet, discreet=discreet)
        return
    with TemporaryDirectory(prefix="driftline-report-") as place:
        report.save(place)
        postprocess(script, place, quiet=quiet, discreet=discreet)
