"""A whole installation whose storage root is a bucket: all processes, documents, rows and pages."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import duckdb
import httpx
import polars as pl
import pyarrow.fs as pafs
import pytest
import skops.io
import yaml
from deltalake import DeltaTable
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.client.client import Client
from driftline.capture.tables.storage import list_folders
from driftline.dashboard.queries.storage import Storage
from driftline.monitors.run.report_document import read_report
from driftline.storage import use_options
from tests.journeys.conftest import driftline, eventually, forked
from tests.servers.ports import free_port
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.s3]

DATA = load_breast_cancer(as_frame=True)
YESTERDAY = datetime.combine(datetime.now(UTC).date() - timedelta(days=1), clock_time(), UTC)
NOON = {"X-Driftline-Event-Time": (YESTERDAY + timedelta(hours=12)).isoformat()}


@dataclass(frozen=True)
class House:
    """An installation's folder, its root in a bucket, and where it answers."""

    folder: Path
    root: str
    server: str
    dashboard: str
    s3: S3Server

    @property
    def options(self) -> dict[str, str]:
        """What other readers want to be told."""
        return {f"aws_{name}": value for name, value in self.s3.options.items()}

    def run(self, *arguments: str) -> tuple[int, str]:
        found = driftline(*arguments, cwd=self.folder)
        return found.returncode, found.stdout + found.stderr

    def table(self) -> str:
        return f"{self.root}/capture/cells"

    def names(self) -> list[str]:
        """List what lies below the root."""
        base = self.root.removeprefix("s3://")
        found = self.s3.filesystem().get_file_info(pafs.FileSelector(base, recursive=True))
        return [one.path[len(base) + 1 :] for one in found if one.is_file]

    def read(self, name: str) -> bytes:
        base = self.root.removeprefix("s3://")
        with self.s3.filesystem().open_input_stream(f"{base}/{name}") as stream:
            return stream.read()


@pytest.fixture(scope="module")
def house(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder, root = tmp_path_factory.mktemp("house"), f"{s3_server.new_bucket()}/store"
    server, dashboard = free_port(), free_port()
    options = "\n".join(f'{name} = "{value}"' for name, value in s3_server.options.items())
    (folder / "driftline.toml").write_text(f"""
        [server]
        port = {server}
        [dashboard]
        port = {dashboard}
        [storage]
        root = "{root}"
        [storage.options]
        {options}
        [capture]
        commit_interval_s = 0.3
        [scheduler]
        poll_s = 0.5
    """)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(DATA.data, DATA.target)
    skops.io.dump(model, folder / "cells.skops")
    DATA.frame[:400].to_parquet(folder / "reference.parquet")
    addresses = (f"http://127.0.0.1:{port}" for port in (server, dashboard))
    with forked("up", until="ready; Ctrl-C", cwd=folder):
        yield House(folder, root, *addresses, s3_server)


def _send(house: House, rows: int, *, factor: float = 1.0) -> None:
    part = DATA.data[400 : 400 + rows].copy()
    part["mean radius"] *= factor
    with Client(house.server) as client:
        for row in part.to_csv(index=False, header=False).splitlines():
            client.invoke("cells", row.encode(), content_type="text/csv", headers=NOON)


def test_from_deploy_to_the_rows_everything_lies_in_the_bucket(house: House) -> None:
    code, shown = house.run(
        "deploy", "cells.skops", "--name", "cells", "--reference", "reference.parquet",
        "--label", "target",
    )  # fmt: skip
    assert code == 0, shown
    trusted = {"model": "cells", "baseline": "cells", "trust_event_time": True}
    (house.folder / "more.yaml").write_text(
        yaml.safe_dump({"kind": "Endpoint", "name": "cells", "spec": trusted})
    )
    code, shown = house.run("apply", "-f", "more.yaml")
    assert code == 0, shown
    _send(house, 60, factor=25.4)
    with Client(house.server) as client:
        eventually(lambda: client.capture_stats("cells")["requests"] >= 60)

    span = [(YESTERDAY + timedelta(days=day)).isoformat() for day in (0, 1)]
    code, shown = house.run("monitor", "run", "cells-data-quality", "--from", span[0],
                            "--to", span[1])  # fmt: skip
    assert code == 1, shown
    assert "mean radius" in shown

    names = house.names()
    assert {name.split("/")[0] for name in names} >= {
        "baselines",
        "capture",
        "executions",
        "models",
    }
    (report,) = [name for name in names if name.endswith("report.json")]
    found = json.loads(house.read(report))
    assert any(one["feature_name"] == "mean radius" for one in found["violations"])
    here = sorted(path.name for path in (house.folder / ".driftline").iterdir())
    assert {"spool", "driftline.db", "models"} <= set(here)
    assert not {"capture", "baselines", "executions"} & set(here)


def test_others_read_the_rows_in_the_bucket(house: House) -> None:
    by_polars = pl.read_delta(house.table(), storage_options=house.options)
    data = DeltaTable(house.table(), storage_options=house.options)
    duckdb.register("rows", data.to_pyarrow_dataset())
    by_duckdb = duckdb.sql("SELECT count(*), count(DISTINCT event_id) FROM rows").fetchall()
    by_pandas = data.to_pandas(columns=["event_id", "prediction"])

    assert by_polars.height == 60
    assert by_duckdb == [(60, 60)]
    assert sorted(by_pandas["event_id"]) == sorted(by_polars["event_id"])


def test_pages_and_interface_show_what_lies_in_the_bucket(house: House) -> None:
    page = httpx.get(house.dashboard, timeout=30)
    asked = f"{house.server}/api/v1"
    (execution,) = httpx.get(f"{asked}/monitors/cells-data-quality/executions").json()["items"]
    report = httpx.get(f"{asked}/executions/{execution['id']}/report").json()
    rows = httpx.get(f"{asked}/executions/{execution['id']}/rows", timeout=30).json()
    use_options(house.s3.options)
    storage = Storage(house.root)
    seen = storage.report(execution["folder"]), list_folders(house.root, "capture")
    use_options({})

    assert page.status_code == 200
    assert len(rows["rows"]) > 0
    assert seen == (read_report(report), ["cells"])


def test_data_baseline_and_results_may_be_uris(house: House) -> None:
    place = f"{house.root}/by-hand"
    _put(house, "by-hand/today/part.parquet")

    made = house.run("baseline", "reference.parquet", "--label", "target", "-o", f"{place}/base")
    judged = house.run(
        "check", f"{place}/today", "--baseline", f"{place}/base", "-o", f"{place}/out"
    )
    globbed = house.run("check", f"{place}/*/part.parquet", "--baseline", f"{place}/base")
    missing = house.run("check", f"{place}/none", "--baseline", f"{place}/base")

    assert made[0] == 0, made[1]
    assert judged[0] in (0, 1), judged[1]
    assert globbed[0] == judged[0], globbed[1]
    assert missing[0] == 2
    assert "no such file or folder" in missing[1]
    assert {"by-hand/base/statistics.json", "by-hand/out/report.json"} <= set(house.names())


def _put(house: House, name: str) -> None:
    sink = io.BytesIO()
    DATA.frame[400:].to_parquet(sink)
    base = house.root.removeprefix("s3://")
    with house.s3.filesystem().open_output_stream(f"{base}/{name}") as stream:
        stream.write(sink.getvalue())


def test_the_doctor_looks_into_the_bucket_and_secrets_stay_secret(house: House) -> None:
    code, shown = house.run("doctor", "--json")
    settings = house.run("settings")[1]

    findings = {one["what"]: one for one in json.loads(shown)["findings"]}
    assert code == 0, shown
    assert findings["store"]["verdict"] == "ok"
    assert house.root in findings["store"]["found"]
    secret = house.s3.options["secret_access_key"]
    assert secret not in settings
    assert secret not in shown
