"""The rows behind a violation, taken from its page as a file."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest

from driftline.dashboard.downloads import Downloads
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.conftest import HOSTILE


@pytest.fixture(scope="module")
def asked(seeded):
    """The newest window with violations, and the violation of the hostile column in it."""
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    view = stores.monitor(seeded.monitor, None, HOSTILE)
    assert view.run is not None
    found = view.found.pointing(HOSTILE)
    assert found is not None
    query = {"monitor": seeded.monitor, "window": view.run.window.stamp, "feature": HOSTILE}
    return query, found[0]


def fetch(address: str, path: str, query: dict[str, str]) -> httpx.Response:
    # In a thread of its own: a browser of another test may hold this one's event loop.
    with ThreadPoolExecutor(1) as pool:
        asked = f"{address}{path}?{urlencode(query)}"
        return pool.submit(httpx.get, asked, timeout=60).result()


def test_all_rows_and_no_others_come_as_files(address: str, asked) -> None:
    query, violation = asked

    text, binary = (fetch(address, f"/rows.{form}", query) for form in ("csv", "parquet"))

    assert (text.status_code, binary.status_code) == (200, 200)
    frame = pd.read_csv(io.BytesIO(text.content))
    table = pq.read_table(io.BytesIO(binary.content))
    assert len(frame) == table.num_rows == violation.row_count
    assert frame["event_id"].tolist() == table["event_id"].to_pylist()
    assert text.headers["content-type"] == "text/csv"
    assert text.headers["content-disposition"].startswith('attachment; filename="flights-data-q')
    assert "<" not in text.headers["content-disposition"]


def test_selected_rows_and_no_others_come_with_every_column(address: str, asked) -> None:
    query = {"monitor": asked[0]["monitor"], "window": asked[0]["window"]}

    some, every = (
        pd.read_csv(io.BytesIO(fetch(address, "/rows.csv", query | {"where": where}).content))
        for where in ("carrier=UA;chance>=0.5", "")
    )

    assert 0 < len(some) < len(every)
    kept = every[(every["carrier"] == "UA") & (every["chance"] >= 0.5)]
    assert some["event_id"].tolist() == kept["event_id"].tolist()
    assert some.columns.tolist() == every.columns.tolist()
    assert {"guess", "late", "wind_speed"} <= {*some.columns}
    assert fetch(address, "/rows.csv", query | {"where": "none=1"}).status_code == 404


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"monitor": "none"}, "none"),
        ({"window": "20000101T000000Z"}, "window"),
        ({"feature": "no such"}, "no such"),
        ({"feature": "wind_speed"}, 'no rows are kept behind "wind_speed"'),
    ],
)
def test_what_is_not_there_is_404_with_a_sentence(address: str, asked, change, sentence) -> None:
    answer = fetch(address, "/rows.csv", asked[0] | change)

    assert answer.status_code == 404
    assert sentence in answer.json()["error"]["message"]


def test_of_a_window_without_violations_no_feature_is_named(address: str, seeded) -> None:
    runs = Stores(seeded.engine, seeded.root, seeded.now).judged(seeded.monitor, None)[0].runs
    stamp = next(one.window.stamp for one in runs if not one.violation_count)

    answer = fetch(address, "/rows.csv", {"monitor": seeded.monitor, "window": stamp})

    assert answer.status_code == 404
    assert "no rows are kept behind any violation in this window" in answer.text


def test_who_opens_a_wrong_address_of_rows_in_a_browser_reads_one_sentence(seeded) -> None:
    read = {"type": "http", "method": "GET", "path": "/rows.csv", "query_string": b"monitor=none",
            "headers": [(b"accept", b"text/html,*/*")]}  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pages = Downloads(None, Stores(seeded.engine, seeded.root, seeded.now))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(pages(read, None, send))).result()

    assert sent[0]["status"] == 404
    words = b'Monitor "none" does not exist; expected one that was applied.'
    assert sent[1]["body"] == words


@pytest.mark.full
def test_the_page_links_the_file_and_tells_when(visit, asked, tmp_path) -> None:
    query, violation = asked
    shown = visit()
    page = shown.open(f"/monitors/{query['monitor']}?{urlencode(query)}")
    panel = page.locator("section", has_text="Contributing rows").last

    with page.expect_download() as waiting:
        panel.get_by_role("link", name="Parquet").click()
    waiting.value.save_as(tmp_path / "rows.parquet")

    assert pq.read_table(tmp_path / "rows.parquet").num_rows == violation.row_count
    assert "Contribution: " in panel.inner_text()
    shown.check()
