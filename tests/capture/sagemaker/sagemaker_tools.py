"""SageMaker's own sample lines, for the tests of what reads and writes them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FIXTURES", "SAMPLES", "sample_lines"]

FIXTURES = Path(__file__).parents[2] / "fixtures"
# Where the SDK's tests put a time.
_PLACE = b"{%s}"
SAMPLES = (
    "capture/captured-data.jsonl",
    "capture/capture.jsonl",
    "baseline/capture.csv.jsonl",
    "baseline/capture.json.jsonl",
    "baseline/capture.jsonlines.jsonl",
)


def sample_lines(name: str, time: str = "2026-01-15T12:34:56Z") -> list[bytes]:
    """Return the lines of a sample, the place of a time filled in."""
    text = (FIXTURES / name).read_bytes().replace(_PLACE, time.encode())
    return [line for line in text.split(b"\n") if line]
