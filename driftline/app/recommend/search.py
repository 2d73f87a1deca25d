"""Measures a model in all the ways that it may be served, on a machine that is idle."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from driftline.app.progress import Advance
from driftline.app.recommend.findings import Findings
from driftline.app.recommend.sample import Sample
from driftline.app.recommend.trial import Plan, candidates, own_server
from driftline.errors import DriftlineError, UndecidedError
from driftline.serving.hosting.conversion import convert
from driftline.serving.hosting.formats.table import find_model, model_formats, require_trusted

ONNX = "onnx"
# More of the machine than this is somebody else's: the figures would be, too.
_BUSY_SHARE, _LOOK_S = 0.2, 1.0


def search(
    model: Path,
    read: Callable[[Mapping[str, Any]], Sample],
    plan: Plan,
    *,
    trust_pickle: bool,
    advance: Advance,
) -> Findings:
    """Measure all candidates of a model; ``read``: its sample, by the model's description."""
    stored = find_model(model)
    require_trusted(stored, trust_pickle=trust_pickle)
    runtime = next(name for name, one in model_formats().items() if one == stored.format)
    files, left_out = [(runtime, str(stored.path.absolute()))], []
    with (
        TemporaryDirectory(prefix="driftline-onnx-") as folder,
        own_server(trust_pickle=trust_pickle) as trial,
    ):
        sample = read(trial.describe(files[0][1]))
        if runtime != ONNX:
            onnx = str(Path(folder, "model.onnx"))
            try:
                convert(stored.path, onnx, sample.table, trust_pickle=trust_pickle)
                files.append((ONNX, onnx))
            except DriftlineError as error:  # The extra is missing, or it answers otherwise.
                left_out.append(f"{ONNX} is not tried: {error}")
        tried = candidates(files, plan.cores)
        results = [
            trial.measure(one, sample, plan, partial(advance, at, len(tried)))
            for at, one in enumerate(tried)
        ]
    return Findings(results, left_out, "" if plan.prices is None else plan.prices.currency)


def require_idle() -> None:
    """Refuse a machine on which other work would spoil the figures."""
    idle, total = _ticks()
    time.sleep(_LOOK_S)
    idle_now, total_now = _ticks()
    busy, cores = 1 - (idle_now - idle) / max(total_now - total, 1), os.cpu_count() or 1
    if busy > _BUSY_SHARE:
        raise UndecidedError(
            f"{busy * cores:.1f} of {cores} cores were busy in the last second (load "
            f"{os.getloadavg()[0]:.1f}), and figures would be too low; expected at most "
            f"{_BUSY_SHARE:.0%}: stop what runs, or measure all the same by --force"
        )


def _ticks() -> tuple[int, int]:
    """Return the ticks that all cores were idle, or waited for disks, and all there were."""
    fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
    ticks = [*map(int, fields)]
    return ticks[3] + ticks[4], sum(ticks)
