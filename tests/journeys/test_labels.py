"""Labels that come late, in portions: exactly the windows they belong to are judged again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import driftline as dl
from tests.kit.data import ORDERS, TODAY, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

DAYS, ROWS = 5, 50
FEATURES = ["km", "rain_mm"]
STARTS = [TODAY - timedelta(days=DAYS - number) for number in range(DAYS)]
ORDERED = labelled(stream(ORDERS, rows=2 * DAYS * ROWS, seed=2))
DOC = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()

Label = tuple[str, int, int]


@pytest.fixture(scope="module")
def shop(installation: Installation) -> Installation:
    """Deploy a model; send two requests of 50 rows for each past day."""
    past = labelled(stream(ORDERS, rows=1_000, seed=1))
    model = fit(past)
    said = past[[*FEATURES, "late"]].assign(
        prediction=model.predict(past[FEATURES]),
        probability=model.predict_proba(past[FEATURES])[:, 1],
    )
    installation.deploy(
        "orders", model, said, "--label", "late", "--prediction", "prediction",
        "--probability", "probability", "--problem", "binary",
    )  # fmt: skip
    known = {"baseline": "orders", "kind": "model-quality", "schedule": "cron(0 0 ? * * *)"}
    installation.apply(
        resource("Endpoint", "orders", model="orders", baseline="orders", trust_event_time=True),
        resource("Monitor", "quality", endpoint="orders", start=STARTS[0].isoformat(), **known),
    )
    for day, start in enumerate(STARTS):
        for request in range(2):
            first = first_row(day, request)
            installation.invoke(
                "orders", ORDERED[FEATURES][first : first + ROWS],
                at=start + timedelta(hours=8 + request), inference_id=name_of(day, request),
            )  # fmt: skip
    installation.captured("orders", 2 * DAYS)
    return installation


def name_of(day: int, request: int) -> str:
    return f"day-{day}-{request}"


def first_row(day: int, request: int) -> int:
    return (day * 2 + request) * ROWS


def labels_of(day: int, request: int, rows: range) -> list[Label]:
    """Return the true answers of some rows of a request."""
    first, late = first_row(day, request), ORDERED["late"]
    return [(name_of(day, request), row, int(late[first + row])) for row in rows]


def load(
    shop: Installation, text: str, *words: str, name: str = "labels.csv"
) -> subprocess.CompletedProcess[str]:
    (shop.folder / name).write_text(text)
    return shop.cli("truth", "load", name, "--endpoint", "orders", *words)


def load_labels(shop: Installation, labels: list[Label]) -> dict[str, Any]:
    lines = [f"{key},{row},{label}" for key, row, label in labels]
    found = load(shop, "\n".join(["id,row_index,label", *lines]), "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def reports(shop: Installation) -> dict[datetime, dict[str, Any]]:
    found = shop.reports("quality")
    return {start: found[start] for start in STARTS if start in found}  # Midnight may bring more.


def until(shop: Installation, counts: Mapping[int, int]) -> dict[datetime, dict[str, Any]]:
    """Wait until these days have so many labelled rows; return the reports of all days."""

    def look() -> dict[datetime, dict[str, Any]] | None:
        found = reports(shop)
        is_there = all(
            found.get(STARTS[day], {}).get("labelled_count") == count
            for day, count in counts.items()
        )
        return found if is_there and len(found) == DAYS else None

    return shop.wait(look, within_s=120)


def test_late_labels_change_exactly_the_windows_they_belong_to(shop: Installation) -> None:
    first = [label for day in range(DAYS) for label in labels_of(day, 0, range(ROWS))]
    assert load_labels(shop, first)["stored"] == DAYS * ROWS
    before = until(shop, dict.fromkeys(range(DAYS), ROWS))

    # One request, some of it loaded twice; two days, a few rows each; a correction of one day, with
    # the labels of another once more.
    flipped = [(key, row, 1 - label) for key, row, label in labels_of(4, 0, range(1))]
    portions = [
        (labels_of(1, 1, range(ROWS)) + labels_of(1, 1, range(10)), {1: 100}),
        (labels_of(0, 1, range(7)) + labels_of(3, 1, range(45, 50)), {0: 57, 3: 55}),
        (flipped + labels_of(4, 1, range(1)) + labels_of(2, 0, range(ROWS)), {4: 51}),
    ]
    for labels, counts in portions:
        load_labels(shop, labels)
        after = until(shop, counts)

        changed = {day for day, start in enumerate(STARTS) if after[start] != before[start]}
        assert changed == set(counts)
        before = after


def test_what_is_wrong_in_a_file_stores_nothing(shop: Installation) -> None:
    lines = ["id,label", *(f"e{number},1" for number in range(60_000)), "e,1,2"]
    before, files = reports(shop), label_files(shop)

    found = load(shop, "\n".join(lines), name="broken.csv")

    assert found.returncode == 2
    assert "broken.csv: line 60002 has 3 fields, expected 2" in found.stderr
    assert label_files(shop) == files
    assert reports(shop) == before


def label_files(shop: Installation) -> list[Path]:
    return sorted((shop.folder / "store" / "truth" / "orders").rglob("*.parquet"))


def test_a_server_that_is_not_there_is_4(shop: Installation) -> None:
    found = load(shop, "id,label\na,1\n", "--server", f"http://127.0.0.1:{free_port()}")

    assert found.returncode == 4
    assert "no server answers" in found.stderr


def test_every_way_that_the_docs_show_loads_the_same_labels(shop: Installation) -> None:
    code = DOC.split("```python\n")[1].split("```")[0]
    for kind in ("csv", "jsonl"):
        text = DOC.split(f"```{kind}\n")[1].split("```")[0]
        shown = load(shop, text, name=f"shown.{kind}").stdout
        assert "stored: 3" in shown, shown
    exec(code.replace("http://127.0.0.1:8080", shop.url).replace('"model"', '"orders"'), {})

    tables = [
        pq.read_table(file, columns=["key", "row_index", "label"]) for file in label_files(shop)
    ]
    loaded = [
        sorted(tuple(row.values()) for row in table.to_pylist())
        for table in tables
        if "order-1" in table["key"].to_pylist()
    ]
    assert loaded == [[("order-1", 0, "1"), ("order-1", 1, "0"), ("order-2", 0, "1")]] * 3


def test_the_client_says_when_an_endpoint_is_unknown(shop: Installation) -> None:
    with dl.Client(shop.url) as client, pytest.raises(dl.DriftlineError, match="nobody"):
        client.put_truth("nobody", {"a": 1})
