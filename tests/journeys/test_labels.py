"""Labels that come late, in portions: exactly the windows they belong to are judged again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import skops.io
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.client.client import Client
from driftline.errors import DriftlineError
from tests.journeys.conftest import configure, driftline, eventually, forked
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

DATA = load_breast_cancer(as_frame=True)
DAYS = 5
ROWS = 50
TODAY = datetime.combine(datetime.now(UTC).date(), clock_time(), UTC)
STARTS = [TODAY - timedelta(days=DAYS - number) for number in range(DAYS)]
DOC = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()

Label = tuple[str, int, int]


@dataclass(frozen=True)
class House:
    """A running installation with an endpoint whose model quality is monitored."""

    folder: Path
    server: str

    def run(self, *arguments: str) -> str:
        """Run a command against this server; give what it printed."""
        found = driftline(*arguments, "--server", self.server, cwd=self.folder)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    def load(self, labels: list[Label]) -> dict[str, object]:
        """Load labels from a CSV by the command line; give its counts."""
        lines = [f"{key},{row},{label}" for key, row, label in labels]
        (self.folder / "labels.csv").write_text("\n".join(["id,row_index,label", *lines]))
        shown = self.run("truth", "load", "labels.csv", "--endpoint", "cells", "--json")
        found: dict[str, object] = json.loads(shown)
        return found

    def executions(self) -> dict[datetime, tuple[str, bytes | None, int]]:
        """Return, for each of the days, the id, the report and the labelled rows of what stands."""
        with httpx.Client(base_url=f"{self.server}/api/v1") as client:
            listed = client.get("/monitors/quality/executions").json()["items"]
            found = {}
            for item in listed:
                start = datetime.fromisoformat(item["window_start"])
                if item["is_current"] and start in STARTS:  # Midnight may bring another.
                    answer = client.get(f"/executions/{item['id']}/report")
                    report = answer.content if answer.is_success else None
                    count = json.loads(report)["labelled_count"] if report else 0
                    found[start] = (item["id"], report, count)
            return found

    def until(self, counts: Mapping[int, int]) -> dict[datetime, tuple[str, bytes | None, int]]:
        """Wait until these days have so many labelled rows; give what stands for all days."""

        def look() -> dict[datetime, tuple[str, bytes | None, int]] | None:
            found = self.executions()
            here = all(found.get(STARTS[day], ("", None, -1))[2] == n for day, n in counts.items())
            return found if here and len(found) == DAYS else None

        return eventually(look, within_s=90)


def _labels(day: int, request: int, rows: range) -> list[Label]:
    """Return the true answers of some rows of a request."""
    first = _first(day, request)
    return [(_name(day, request), row, int(DATA.target[first + row])) for row in rows]


def _name(day: int, request: int) -> str:
    return f"day-{day}-{request}"


def _first(day: int, request: int) -> int:
    return (day * 2 + request) * ROWS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Start all processes; deploy a model; send two requests of 50 rows for each past day."""
    folder = tmp_path_factory.mktemp("labels")
    server, _ = configure(folder)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(DATA.data, DATA.target)
    skops.io.dump(model, folder / "cells.skops")
    reference = DATA.frame.assign(
        prediction=model.predict(DATA.data), probability=model.predict_proba(DATA.data)[:, 1]
    )
    reference.to_parquet(folder / "reference.parquet")
    with forked("up", until="ready; Ctrl-C", cwd=folder):
        found = House(folder, server)
        found.run(
            "deploy", "cells.skops", "--reference", "reference.parquet", "--label", "target",
            "--prediction", "prediction", "--probability", "probability", "--problem", "binary",
        )  # fmt: skip
        _declare(found)
        _send(found)
        yield found


def _declare(house: House) -> None:
    endpoint = {"model": "cells", "baseline": "cells", "trust_event_time": True}
    monitor = {
        "endpoint": "cells",
        "baseline": "cells",
        "kind": "model-quality",
        "schedule": "cron(0 0 ? * * *)",
        "start": STARTS[0].isoformat(),
    }
    resources = [
        {"kind": "Endpoint", "name": "cells", "spec": endpoint},
        {"kind": "Monitor", "name": "quality", "spec": monitor},
    ]
    (house.folder / "more.yaml").write_text(yaml.safe_dump_all(resources))
    house.run("apply", "-f", "more.yaml")


def _send(house: House) -> None:
    with Client(house.server) as client:
        for day, start in enumerate(STARTS):
            for request in range(2):
                first = _first(day, request)
                body = DATA.data[first : first + ROWS].to_csv(index=False, header=False).encode()
                headers = {
                    "X-Driftline-Event-Time": (start + timedelta(hours=8 + request)).isoformat(),
                    "X-Amzn-SageMaker-Inference-Id": _name(day, request),
                }
                client.invoke("cells", body, content_type="text/csv", headers=headers)
        eventually(lambda: client.capture_stats("cells")["requests"] >= 2 * DAYS)


def test_late_labels_change_exactly_the_windows_they_belong_to(house: House) -> None:
    # For all windows to begin with; what was run without labels before is set aside.
    first = [label for day in range(DAYS) for label in _labels(day, 0, range(ROWS))]
    assert house.load(first)["stored"] == DAYS * ROWS
    before = house.until(dict.fromkeys(range(DAYS), 50))
    assert all(report is not None for _, report, _ in before.values())

    # One request, some of it loaded twice; two days, a few rows each; a correction of one day, with
    # the labels of another once more.
    flipped = [(key, row, 1 - label) for key, row, label in _labels(4, 0, range(1))]
    portions = [
        (_labels(1, 1, range(ROWS)) + _labels(1, 1, range(10)), {1: 100}),
        (_labels(0, 1, range(7)) + _labels(3, 1, range(45, 50)), {0: 57, 3: 55}),
        (flipped + _labels(4, 1, range(1)) + _labels(2, 0, range(ROWS)), {4: 51}),
    ]
    for labels, counts in portions:
        house.load(labels)
        after = house.until(counts)

        assert sorted(after) == STARTS
        for day, start in enumerate(STARTS):
            if day in counts:
                assert after[start][0] != before[start][0]
                assert after[start][1] != before[start][1]
            else:
                assert after[start] == before[start]
        before = after


def test_what_is_wrong_in_a_file_stores_nothing(house: House) -> None:
    lines = ["id,label", *(f"e{number},1" for number in range(60_000)), "e,1,2"]
    (house.folder / "broken.csv").write_text("\n".join(lines))
    before = house.executions()
    folder = house.folder / "store" / "truth" / "cells"
    files = sorted(folder.rglob("*.parquet"))

    found = driftline(
        "truth", "load", "broken.csv", "--endpoint", "cells", "--server", house.server,
        cwd=house.folder,
    )  # fmt: skip

    assert found.returncode == 2
    assert "broken.csv: line 60002 has 3 fields, expected 2" in found.stderr
    assert sorted(folder.rglob("*.parquet")) == files
    assert house.executions() == before


def test_a_server_that_is_not_there_is_4(house: House) -> None:
    (house.folder / "one.csv").write_text("id,label\na,1\n")
    nowhere = f"http://127.0.0.1:{free_port()}"

    found = driftline(
        "truth", "load", "one.csv", "--endpoint", "cells", "--server", nowhere, cwd=house.folder
    )

    assert found.returncode == 4
    assert "no server answers" in found.stderr


def test_every_way_that_the_docs_show_loads_the_same_labels(house: House) -> None:
    blocks = {kind: DOC.split(f"```{kind}\n")[1].split("```")[0] for kind in ("csv", "jsonl")}
    code = DOC.split("```python\n")[1].split("```")[0]
    for kind, text in blocks.items():
        (house.folder / f"shown.{kind}").write_text(text)
        shown = house.run("truth", "load", f"shown.{kind}", "--endpoint", "cells")
        assert shown.startswith("3 labels stored for cells (3 received"), shown
    exec(code.replace("http://127.0.0.1:8080", house.server).replace('"model"', '"cells"'), {})

    files = sorted((house.folder / "store" / "truth" / "cells").rglob("*.parquet"))
    tables = [pq.read_table(file, columns=["key", "row_index", "label"]) for file in files]
    loaded = [
        sorted(tuple(row.values()) for row in table.to_pylist())
        for table in tables
        if "order-1" in table["key"].to_pylist()
    ]
    assert loaded == [[("order-1", 0, "1"), ("order-1", 1, "0"), ("order-2", 0, "1")]] * 3


def test_the_client_says_when_an_endpoint_is_unknown(house: House) -> None:
    with Client(house.server) as client, pytest.raises(DriftlineError, match="nobody"):
        client.put_truth("nobody", {"a": 1})
