"""``driftline.profile``: what a data set holds, column by column, without judging it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from driftline.baseline.engine import Engine, open_engine
from driftline.baseline.gather import Meter, gather
from driftline.baseline.profile import Profile
from driftline.baseline.schema import infer_signature
from driftline.formats.source import Source, open_source
from driftline.signature import Signature


def profile(
    data: object,
    *,
    signature: Signature | None = None,
    engine: str | Engine = "local",
    progress: Callable[[int, int | None], None] | None = None,
) -> Profile:
    """Summarise data in one reading.

    Profiles of parts, such as of hours, add up: `Profile.merged` gives that of all rows;
    `Profile.to_bytes` and `Profile.from_bytes` keep them.

    Parameters
    ----------
    data
        A path, glob or folder, a frame, anything Arrow (docs/inputs.md).
    signature
        Names and types of the columns; of the data itself when missing. Parts that are to be
        merged need the same one.
    engine
        Where it is counted, as in `Baseline.fit`.
    progress
        Called with rows done and rows in total (None when not known).

    Raises
    ------
    InputError
        When the data cannot be read.
    """
    source = data if isinstance(data, Source) else open_source(data, signature=signature)
    columns = signature or infer_signature(source.schema)
    meter = Meter(progress, source.row_count)
    start = partial(Profile.empty, columns)
    return gather(start, source.parts(), open_engine(engine), meter.advance)
