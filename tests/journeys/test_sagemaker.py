"""Moving house: SageMaker's own files come in, a monitor judges them, and they go out as they were.

Needs the samples in tests/fixtures; what their tests fill in (a time) is yesterday at 10:15.
"""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from tests.capture.sagemaker.sagemaker_tools import FIXTURES, SAMPLES, sample_lines
from tests.kit.data import integers, stream, uniform
from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.servers.answering import served

pytestmark = pytest.mark.slow

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
HOUR = YESTERDAY.replace(hour=10)
STAMP = f"{HOUR:%Y-%m-%dT%H}:15:00Z"
DOC = (Path(__file__).parents[2] / "docs" / "sagemaker.md").read_text()


@dataclass(frozen=True)
class Moving:
    """A running installation, and the folder that came from SageMaker's bucket."""

    shop: Installation
    bucket: Path

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command against this server; return what it printed."""
        found = self.shop.cli(*arguments)
        assert found.returncode in codes, found.stdout + found.stderr
        return found.stdout

    def json(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Run a command that prints JSON."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--json", codes=codes))
        return found


@pytest.fixture(scope="module")
def moving(install: Callable[..., Installation]) -> Moving:
    """Start all processes; declare an endpoint whose requests SageMaker captured until now."""
    shop = install("[capture]\nretention_days = 36500", is_forked=True)
    bucket = shop.folder / "bucket"
    for number, name in enumerate(SAMPLES):
        # One lies as in the bucket, one is packed, the others are just there.
        place = bucket / "moved/AllTraffic/2022/04/18/00" if number == 2 else bucket
        place.mkdir(parents=True, exist_ok=True)
        text = b"\n".join(sample_lines(name, STAMP)) + b"\n"
        if number == 1:
            (place / f"{number}.jsonl.gz").write_bytes(gzip.compress(text))
        else:
            (place / f"{number}.jsonl").write_bytes(text)
    shutil.copy(FIXTURES / "bias/aws-merged-record.json", bucket / "merged.json")
    columns = {f"x{number}": integers(0, 47) for number in range(7)}
    chances = {"probability": uniform(0.2, 0.8, digits=6), "label": integers(0, 2)}
    reference = shop.folder / "reference.csv"
    stream({**columns, **chances}, rows=2_000, seed=7).to_csv(reference, index=False)
    roles = {"label": "label", "probability": ["probability"], "problem": "binary"}
    shop.apply(
        resource("Baseline", "moved", data=str(reference), **roles),
        resource("Endpoint", "moved", baseline="moved"),
        *(
            resource(
                "Monitor", f"moved-{kind}", endpoint="moved", baseline="moved", kind=kind,
                schedule="external",
            )
            for kind in ("data-quality", "model-quality")
        ),
    )  # fmt: skip
    return Moving(shop, bucket)


def _window() -> list[str]:
    return ["--from", HOUR.isoformat(), "--to", (HOUR + timedelta(hours=1)).isoformat()]


def test_the_page_has_the_commands() -> None:
    for line in (
        "driftline capture import captured/ --endpoint flights",
        "driftline truth load ground-truth/ --endpoint flights",
        "driftline truth report flights",
        "driftline capture export flights -o exported/",
    ):
        assert line in DOC


def test_a_house_is_moved_with_all_that_is_in_it(moving: Moving) -> None:
    # What is killed in the middle goes on.
    _import_until_killed(moving.shop)

    found = moving.json("capture", "import", "bucket", "--endpoint", "moved")
    again = moving.json("capture", "import", "bucket", "--endpoint", "moved")

    # 53 lines of samples, and the merged record with its 334 rows.
    assert found["lines"] == found["imported"] + found["known"] == 54
    assert (again["imported"], again["known"], again["bad"]) == (0, 54, 0)
    rows = moving.shop.captured("moved", 54)
    assert rows["event_id"].nunique() == 54
    assert not rows.duplicated(["event_id", "row_index"]).any()

    judged = moving.json("monitor", "run", "moved-data-quality", *_window(), codes=(0, 1))
    assert judged["status"].startswith("Completed")
    assert judged["row_count"] == 44

    _labels_follow(moving)

    moving.run("capture", "export", "moved", "-o", "exported")
    sent = {line for name in SAMPLES for line in sample_lines(name, STAMP)}
    written = [
        line
        for file in (moving.shop.folder / "exported").rglob("*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    assert len(written) == 54
    assert sent == {line for line in written if b"eed5a268-2703-4392-901f" not in line}
    files = sorted((moving.shop.folder / "exported").rglob("*.jsonl"))
    assert (
        files[0]
        .relative_to(moving.shop.folder)
        .as_posix()
        .startswith("exported/moved/AllTraffic/2019/")
    )
    second = moving.json("capture", "export", "moved", "-o", "exported")
    assert (second["written"], second["unchanged"]) == (0, len(files))


def _labels_follow(moving: Moving) -> None:
    """Load SageMaker's ground truth, whole, twice, and with what fits nothing."""
    text = (FIXTURES / "capture/actuals.jsonl").read_text().replace("{%s}", STAMP)
    (moving.shop.folder / "labels.jsonl").write_text(
        text.rstrip("\n") + '\n{"groundTruthData":{"data":"1","encoding":"CSV"},'
        '"eventMetadata":{"eventId":"nobody"},"eventVersion":"0"}\n'
    )
    shown = moving.run("truth", "load", "labels.jsonl", "--endpoint", "moved")
    moving.run("truth", "load", "labels.jsonl", "--endpoint", "moved")
    report = moving.json("truth", "report", "moved", "--from", f"{HOUR:%Y-%m-%d}")

    assert "stored: 45" in shown
    assert (report["unmatched"], report["conflicts"], report["stray"]) == (1, 0, 0)
    assert report["type"] == "int64"
    (day,) = report["days"]
    assert (day["requests"], day["labelled_requests"]) == (44, 44)
    # Forty-four labels are joined to as many scores.
    judged = moving.json("monitor", "run", "moved-model-quality", *_window())
    assert (judged["status"], judged["row_count"]) == ("Completed", 44)


class Gate(BaseHTTPRequestHandler):
    """Hands requests on to the server, and kills who sent lines before it hears the answer."""

    server_url = ""
    victims: ClassVar[list[subprocess.Popen[bytes]]] = []

    def do_GET(self) -> None:
        self.hand_on(b"")

    def do_POST(self) -> None:
        self.hand_on(self.rfile.read(int(self.headers["content-length"])))
        if "/capture/lines" in self.path:
            self.victims[-1].kill()

    def hand_on(self, body: bytes) -> None:
        kept = {"content-type": self.headers.get("content-type", "application/json")}
        answer = httpx.request(
            self.command, f"{self.server_url}{self.path}", content=body, headers=kept, timeout=60
        )
        if "/capture/lines" in self.path:
            return
        self.send_response(answer.status_code)
        self.send_header("content-type", answer.headers["content-type"])
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)


def _import_until_killed(shop: Installation) -> None:
    """Import until the server has stored lines, and kill the command before it knows."""
    Gate.server_url = shop.url
    with served(Gate) as gate:
        words = ("capture", "import", "bucket", "--endpoint", "moved", "--server", gate)
        command = [sys.executable, "-m", "driftline", *words]
        with subprocess.Popen(command, cwd=shop.folder) as process:
            Gate.victims.append(process)
            assert process.wait(120) == -signal.SIGKILL
