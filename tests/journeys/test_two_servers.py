"""Two servers on one PostgreSQL, Kafka between capture and tables, and a bucket for all files.

Both answer, the tables hold each answer once, PostgreSQL goes away and comes back under traffic,
and nothing but spool and copies lies on the machines.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import duckdb
import httpx
import pandas as pd
import polars as pl
import pyarrow.fs as pafs
import pytest
from cryptography.fernet import Fernet
from deltalake import DeltaTable

from tests.kit.data import ORDERS, TODAY, YESTERDAY, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.receiver import Receiver
from tests.kit.resources import alarm_on, resource
from tests.kit.services import KafkaBroker, Postgres, S3Server, on_kafka, on_postgres, on_s3
from tests.kit.waiting import wait

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.s3]

FEATURES = ["km", "rain_mm"]
PAST = labelled(stream(ORDERS, rows=3_000, seed=1))
NOON = YESTERDAY + timedelta(hours=12)


@dataclass
class Pair:
    """One installation with everything, and a second server beside it."""

    first: Installation
    second: Installation
    postgres: Postgres
    s3: S3Server
    sent: list[str] = field(default_factory=list)

    def send(self, seed: int, *, factor: float = 1.0) -> None:
        """Ask each server 30 times in turn, in requests of four rows."""
        change = {"km": lambda km: km * factor}
        rows = stream(ORDERS, rows=240, seed=seed, change=change)[FEATURES]
        for number in range(60):
            server = (self.first, self.second)[number % 2]
            answer = server.invoke("orders", rows[4 * number : 4 * number + 4], at=NOON)
            assert answer.status_code == 200, answer.text
            self.sent.append(answer.headers["x-amzn-requestid"])

    def names(self) -> list[str]:
        """List what lies in the bucket, below the root."""
        base = self.first.root.removeprefix("s3://")
        found = self.s3.filesystem().get_file_info(pafs.FileSelector(base, recursive=True))
        return [one.path[len(base) + 1 :] for one in found if one.is_file]

    def put(self, name: str, rows: pd.DataFrame) -> None:
        sink = io.BytesIO()
        rows.to_parquet(sink)
        base = self.first.root.removeprefix("s3://")
        with self.s3.filesystem().open_output_stream(f"{base}/{name}") as stream:
            stream.write(sink.getvalue())

    def captured(self) -> pd.DataFrame:
        """Wait until all that was answered is in the table; return it."""
        sent = self.sent
        wait(lambda: {*sent} <= {*self.first.table("orders").get("event_id", ())}, every_s=0.5)
        return self.first.table("orders")


@pytest.fixture(scope="module")
def pair(
    install: Callable[..., Installation],
    kafka_broker: KafkaBroker,
    postgres: Postgres,
    s3_server: S3Server,
) -> Pair:
    shared = on_kafka(kafka_broker, "dl-two-servers") + on_postgres(postgres) + on_s3(s3_server)
    # What one seals, such as secrets of channels, the other one opens.
    shared += f'[notify]\nsecrets_key = "{Fernet.generate_key().decode()}"\n'
    shared += "[capture]\ncommit_interval_s = 0.3\n"
    first = install(shared, is_forked=True)
    second = install(shared, is_forked=True, words=("--only", "server,sidecar"))
    first.deploy("orders", fit(PAST), PAST[[*FEATURES, "late"]], "--label", "late")
    first.apply(
        resource("Endpoint", "orders", model="orders", baseline="orders", trust_event_time=True)
    )
    row = PAST[FEATURES][:1]
    wait(lambda: second.is_answering("orders", row))
    return Pair(first, second, postgres, s3_server)


def test_what_both_answer_is_stored_once_and_judged_once(pair: Pair, receiver: Receiver) -> None:
    # What one server is told holds at the other.
    pair.second.apply(receiver.channel(), alarm_on("orders-data-quality", "pager"))
    assert "pager" in pair.first.done("get", "channel")
    pair.send(2)
    pair.captured()
    calm = pair.second.judge("orders-data-quality", YESTERDAY, TODAY)

    pair.send(3, factor=1_000)
    table = pair.captured()
    found = pair.second.judge("orders-data-quality", YESTERDAY, TODAY)
    again = pair.first.judge("orders-data-quality", YESTERDAY, TODAY)
    page = wait(lambda: next(iter(receiver.messages), None))

    assert (calm.returncode, found.returncode, again.returncode) == (0, 1, 1)
    assert not table.duplicated(["event_id", "row_index"]).any()
    asked = table[table["event_id"].isin(pair.sent)]
    assert len(asked) == 4 * len(pair.sent)
    assert page.cause.startswith("km: ")
    assert len(receiver.messages) == 1
    reports = [
        pair.first.reports("orders-data-quality"),
        pair.second.reports("orders-data-quality"),
    ]
    assert reports[0] == reports[1]


def test_postgresql_goes_away_and_nothing_is_lost(pair: Pair, pytestconfig: pytest.Config) -> None:
    before = pair.first.processes(), pair.second.processes()

    times = 2 if pytestconfig.getoption("full") else 1
    for seed, mode in ((4, "immediate"), (5, "fast"))[:times]:
        pair.postgres.stop(mode)
        try:
            # Answers do not depend on it; what does says so.
            pair.send(seed)
            wait(lambda: answers(pair.first, "/api/v1/monitors") == 503)
        finally:
            pair.postgres.start()
        wait(lambda: answers(pair.second, "/api/v1/monitors") == 200)
        pair.captured()

    assert (pair.first.processes(), pair.second.processes()) == before
    found = pair.first.judge("orders-data-quality", YESTERDAY, TODAY)
    assert found.returncode == 1, found.stderr
    (report,) = pair.first.reports("orders-data-quality").values()
    assert report["row_count"] == 4 * len(pair.sent)


def answers(server: Installation, path: str) -> int:
    try:
        return server.request("GET", path).status_code
    except httpx.HTTPError:
        return 0


def test_everything_lies_in_the_bucket_and_others_read_it(pair: Pair) -> None:
    rows = pair.captured()
    uri, options = f"{pair.first.root}/capture/orders", pair.first.storage_options

    by_polars = pl.read_delta(uri, storage_options=options)
    duckdb.register("rows", DeltaTable(uri, storage_options=options).to_pyarrow_dataset())
    by_duckdb = duckdb.sql("SELECT count(*), count(DISTINCT event_id) FROM rows").fetchall()

    folders = {name.split("/")[0] for name in pair.names()}
    assert folders >= {"baselines", "capture", "executions", "models"}
    assert by_polars.height == len(rows)
    assert by_duckdb == [(len(rows), rows["event_id"].nunique())]
    for server in (pair.first, pair.second):
        here = {path.name for path in (server.folder / "local").iterdir()}
        assert "spool" in here
        assert not {"capture", "baselines", "executions", "driftline.db"} & here


def test_pages_and_interface_show_what_lies_in_the_bucket(pair: Pair) -> None:
    item = pair.second.get("/api/v1/monitors/orders-data-quality/executions")["items"][0]

    rows = pair.second.get(f"/api/v1/executions/{item['id']}/rows")["rows"]
    page = httpx.get(pair.first.dashboard_url, timeout=60)

    assert len(rows) > 0
    assert page.status_code == 200


def test_data_baseline_and_results_may_be_uris(pair: Pair) -> None:
    place, shop = f"{pair.first.root}/by-hand", pair.first
    data = PAST[[*FEATURES, "late"]]
    data.to_parquet(shop.folder / "past.parquet")
    pair.put("by-hand/today/part.parquet", data[2_000:])

    shop.done("baseline", "past.parquet", "--label", "late", "-o", f"{place}/base")
    check = ("--baseline", f"{place}/base")
    judged = shop.cli("check", f"{place}/today", *check, "-o", f"{place}/out")
    globbed = shop.cli("check", f"{place}/*/part.parquet", *check)
    absent = shop.cli("check", f"{place}/none", *check)

    assert (judged.returncode, globbed.returncode, absent.returncode) == (0, 0, 2), judged.stderr
    assert "no such file or folder" in absent.stderr
    assert {"by-hand/base/statistics.json", "by-hand/out/report.json"} <= set(pair.names())


def test_the_doctor_looks_into_the_bucket_and_secrets_stay_secret(pair: Pair) -> None:
    shown = pair.first.cli("doctor", "--json")
    settings = pair.first.done("settings")

    findings = {one["what"]: one for one in json.loads(shown.stdout)["findings"]}
    assert findings["store"]["verdict"] == "ok"
    assert pair.first.root in findings["store"]["found"]
    for secret in (pair.s3.options["secret_access_key"], pair.postgres.password):
        assert secret not in settings + shown.stdout + shown.stderr
