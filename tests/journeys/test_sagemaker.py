"""Moving house: SageMaker's own files come in, a monitor judges them, and they go out as they were.

Needs the samples in tests/fixtures; what their tests fill in (a time) is yesterday at 10:15.
"""

from __future__ import annotations

import gzip
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from deltalake import DeltaTable

from tests.capture.sagemaker.sagemaker_tools import FIXTURES, SAMPLES, sample_lines
from tests.journeys.conftest import driftline, forked
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
HOUR = YESTERDAY.replace(hour=10)
STAMP = f"{HOUR:%Y-%m-%dT%H}:15:00Z"
DOC = (Path(__file__).parents[2] / "docs" / "sagemaker.md").read_text()


@dataclass(frozen=True)
class House:
    """A running installation, and the folder that came from SageMaker's bucket."""

    folder: Path
    server: str
    bucket: Path

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command against this server; give what it printed."""
        found = driftline(*arguments, "--server", self.server, cwd=self.folder)
        assert found.returncode in codes, found.stdout + found.stderr
        return found.stdout

    def json(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Run a command that prints JSON."""
        found: dict[str, Any] = json.loads(self.run(*arguments, "--json", codes=codes))
        return found

    def captured(self) -> pd.DataFrame:
        """Read the table as anybody would."""
        return DeltaTable(str(self.folder / "store/capture/moved")).to_pandas(
            columns=["event_id", "row_index", "event_time"]
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Start all processes; declare an endpoint whose requests SageMaker captured until now."""
    folder = tmp_path_factory.mktemp("moving")
    server, dashboard = free_port(), free_port()
    (folder / "driftline.toml").write_text(f"""
        [server]
        port = {server}
        [dashboard]
        port = {dashboard}
        [storage]
        root = "store"
        [capture]
        retention_days = 36500
    """)
    bucket = folder / "bucket"
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
    _declare_in(folder)
    with forked("up", until="ready; Ctrl-C", cwd=folder):
        found = House(folder, f"http://127.0.0.1:{server}", bucket)
        found.run("apply", "-f", "moved.yaml")
        yield found


def _declare_in(folder: Path) -> None:
    """Write a reference with the samples' seven inputs, and the resources."""
    random, rows = np.random.default_rng(7), 2_000
    reference = pd.DataFrame(
        {f"x{number}": random.integers(0, 47, rows) for number in range(7)}
        | {"probability": random.uniform(0.2, 0.8, rows).round(6)}
    )
    reference["prediction"] = (reference["probability"] > 0.5).astype(int)
    reference["label"] = random.integers(0, 2, rows)
    reference.drop(columns="prediction").to_csv(folder / "reference.csv", index=False)
    roles = {"label": "label", "probability": ["probability"], "problem": "binary"}
    resources = [
        {
            "kind": "Baseline",
            "name": "moved",
            "spec": {"data": str(folder / "reference.csv"), **roles},
        },
        {"kind": "Endpoint", "name": "moved", "spec": {"baseline": "moved"}},
        *(
            {
                "kind": "Monitor",
                "name": f"moved-{kind}",
                "spec": {
                    "endpoint": "moved",
                    "baseline": "moved",
                    "kind": kind,
                    "schedule": "external",
                },
            }
            for kind in ("data-quality", "model-quality")
        ),
    ]
    (folder / "moved.yaml").write_text(yaml.safe_dump_all(resources))


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


def test_a_house_is_moved_with_all_that_is_in_it(house: House) -> None:
    # What is killed in the middle, three times, goes on.
    for lines in (10, 30, 50):
        _import_until_killed(house, lines)
    before = len(house.captured()) if (house.folder / "store/capture/moved").exists() else 0

    found = house.json("capture", "import", "bucket", "--endpoint", "moved")
    again = house.json("capture", "import", "bucket", "--endpoint", "moved")

    # 53 lines of samples, and the merged record with its 334 rows.
    assert found["lines"] == found["imported"] + found["known"] == 54
    assert (again["imported"], again["known"], again["bad"]) == (0, 54, 0)
    rows = house.captured()
    assert rows["event_id"].nunique() == 54
    assert not rows.duplicated(["event_id", "row_index"]).any()
    assert before <= len(rows)

    judged = house.json("monitor", "run", "moved-data-quality", *_window(), codes=(0, 1))
    assert judged["status"].startswith("Completed")
    assert judged["row_count"] == 44

    _labels_follow(house)

    house.run("capture", "export", "moved", "-o", "exported")
    sent = {line for name in SAMPLES for line in sample_lines(name, STAMP)}
    written = [
        line
        for file in (house.folder / "exported").rglob("*.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    assert len(written) == 54
    assert sent == {line for line in written if b"eed5a268-2703-4392-901f" not in line}
    files = sorted((house.folder / "exported").rglob("*.jsonl"))
    assert (
        files[0].relative_to(house.folder).as_posix().startswith("exported/moved/AllTraffic/2019/")
    )
    second = house.json("capture", "export", "moved", "-o", "exported")
    assert (second["written"], second["unchanged"]) == (0, len(files))


def _labels_follow(house: House) -> None:
    """Load SageMaker's ground truth, whole, twice, and with what fits nothing."""
    text = (FIXTURES / "capture/actuals.jsonl").read_text().replace("{%s}", STAMP)
    (house.folder / "labels.jsonl").write_text(
        text.rstrip("\n") + '\n{"groundTruthData":{"data":"1","encoding":"CSV"},'
        '"eventMetadata":{"eventId":"nobody"},"eventVersion":"0"}\n'
    )
    shown = house.run("truth", "load", "labels.jsonl", "--endpoint", "moved")
    house.run("truth", "load", "labels.jsonl", "--endpoint", "moved")
    report = house.json("truth", "report", "moved", "--from", f"{HOUR:%Y-%m-%d}")

    assert "45 labels stored for moved (45 received" in shown
    assert "1 labels for ids that nothing captured has so far (nobody)" in shown
    assert (report["unmatched"], report["conflicts"], report["stray"]) == (1, 0, 0)
    assert report["type"] == "int64"
    (day,) = report["days"]
    assert (day["requests"], day["labelled_requests"]) == (44, 44)
    # Forty-four labels are joined, to answers of which none is a probability: that is told.
    judged = house.json("monitor", "run", "moved-model-quality", *_window(), codes=(1,))
    assert (judged["status"], judged["row_count"]) == ("CompletedWithViolations", 44)
    assert judged["cause"].startswith("missing_predictions: 100% of 44 rows have no prediction")


def _import_until_killed(house: House, lines: int) -> None:
    """Import a few lines a request, and kill it when so many were sent."""
    first = f"""
        import os, signal
        import driftline.app.commands.transfer as t

        t.CHUNK_LINES, old, sent = 5, t._send, 0

        def send(*given):
            global sent
            answer = old(*given)
            sent += answer["lines"]
            if sent >= {lines}:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        t._send = send
    """
    asked = ("capture", "import", "bucket", "--endpoint", "moved", "--server", house.server)
    found = driftline(*asked, cwd=house.folder, first=first)
    assert found.returncode == -signal.SIGKILL, found.stderr
