"""Starts the process of a server's transform job; scores files without a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driftline.serving.hosting.child import Launch
from driftline.serving.transform.assembly import Assembly, Records
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.scoring import InputFile, Scoring, find_files


def start_transform(settings_file: Path | None, job: str, owner: str) -> subprocess.Popen[bytes]:
    """Start the process of a server's job; it ends with this one, by its standard input."""
    command = [sys.executable, "-P", "-m", "driftline.app.transform_process", job, owner]
    if settings_file is not None:
        command += ["--settings", str(settings_file)]
    return subprocess.Popen(  # noqa: S603 - our own module, with our own arguments
        command, stdin=subprocess.PIPE, start_new_session=True
    )


def transform_here(
    spec: TransformJobSpec, launch: Launch, work_dir: Path, moved: Callable[[int], None]
) -> dict[str, Any]:
    """Score the files of a job in this process; return it as a server shows one that is done."""
    files = find_files(spec, lambda _path: None)
    progress = _Progress(moved)
    asyncio.run(Scoring(spec, launch, progress, work_dir).run(files))
    counts = {"files": len(files), "files_done": len(files), "records": progress.records}
    ended = {"transform_job_status": "Completed", "failure_reason": None, "progress": counts}
    return {**spec.model_dump(mode="json"), **ended}


class _Progress:
    """Counts records."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self.records = 0
        self._moved = moved

    def scored(self, file: InputFile, batch: Records, assembly: Assembly, answer: bytes) -> None:
        self.records += batch.count
        self._moved(self.records)

    def completing(self) -> None:
        pass

    def done(self, file: InputFile) -> None:
        pass
