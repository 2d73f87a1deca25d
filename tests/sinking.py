"""What the capture process does with a spool, once and at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from driftline.capture.line.sink import Sink
from driftline.capture.line.transport import LocalTransport
from driftline.signature import Signature


def sink_all(
    root: str | Path,
    spool_dir: Path,
    signatures: Callable[[str], Signature | None] = lambda _: None,
    **options: object,
) -> None:
    """Store all that lies in a spool."""
    with closing(LocalTransport(spool_dir)) as transport:
        Sink(str(root), transport, signatures, **options).step()
