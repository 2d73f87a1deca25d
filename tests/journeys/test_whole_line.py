"""An installation of one's own, from ``driftline up`` to a message on a pager.

The model and its data are scikit-learn's breast cancer set; nothing of the demo is used but its
pager, which checks signatures with the public Standard Webhooks library.
"""

import base64
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path

import polars as pl
import pytest
import skops.io
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.client.client import Client
from driftline.app.demo.receiver import Receiver
from tests.journeys.conftest import configure, driftline, eventually, running

pytestmark = pytest.mark.slow

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
DATA = load_breast_cancer(as_frame=True)
YESTERDAY = datetime.combine(datetime.now(UTC).date() - timedelta(days=1), clock_time(), UTC)
NOON = {"X-Driftline-Event-Time": (YESTERDAY + timedelta(hours=12)).isoformat()}


@dataclass(frozen=True)
class House:
    """A running installation, its folder, and its pager."""

    folder: Path
    server: str
    dashboard: str
    pager: Receiver
    process: int

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command against this server; give its exit code and all it printed."""
        found = driftline(*arguments, "--server", self.server, cwd=self.folder)
        return found.returncode, found.stdout + found.stderr

    def send(self, endpoint: str, rows: int, *, factor: float = 1.0) -> list[str]:
        """Ask for predictions on rows as of yesterday noon, the first column scaled; give ids."""
        part = DATA.data[400 : 400 + rows].copy()
        part["mean radius"] *= factor
        with Client(self.server) as client:
            answers = [
                client.invoke(endpoint, row.encode(), content_type="text/csv", headers=NOON)
                for row in part.to_csv(index=False, header=False).splitlines()
            ]
        return [answer.headers["x-amzn-requestid"] for answer in answers]

    def stored(self, endpoint: str, count: int) -> pl.DataFrame:
        """Wait until so many requests are stored; read their table without driftline."""
        with Client(self.server) as client:
            eventually(lambda: client.capture_stats(endpoint)["requests"] >= count)
        return self.table(endpoint)

    def table(self, endpoint: str) -> pl.DataFrame:
        """Read the table of an endpoint without driftline."""
        return pl.read_delta(str(self.folder / "store" / "capture" / endpoint))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Start all processes on free ports, with a model and a reference beside them."""
    folder = tmp_path_factory.mktemp("house")
    urls = configure(
        folder,
        """
        [alarms]
        poll_s = 0.2
        [notify]
        allow_networks = ["127.0.0.0/8"]
        """,
    )
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(DATA.data, DATA.target)
    skops.io.dump(model, folder / "cells.skops")
    DATA.frame[:400].to_parquet(folder / "reference.parquet")
    with (
        Receiver(SECRET, lambda _: None) as pager,
        running("up", until="ready; Ctrl-C", cwd=folder) as process,
    ):
        yield House(folder, *urls, pager, process.pid)


def _deploy(house: House, name: str) -> tuple[int, str]:
    return house.run(
        "deploy", "cells.skops", "--name", name, "--reference", "reference.parquet",
        "--label", "target",
    )  # fmt: skip


@pytest.fixture(scope="module")
def cells(house: House) -> str:
    """Deploy an endpoint that tests may share; give its name."""
    code, shown = _deploy(house, "cells")
    assert code == 0, shown
    return "cells"


def _resources(house: House) -> list[dict[str, object]]:
    metric = {
        "namespace": "Driftline",
        "metric_name": "violations",
        "dimensions": {"Endpoint": "watched", "MonitoringSchedule": "watched-data-quality"},
    }
    judged = {
        "statistic": "Maximum",
        "period": 86400,
        "evaluation_periods": 1,
        "comparison_operator": "GreaterThanThreshold",
        "threshold": 0,
        "treat_missing_data": "notBreaching",
        "alarm_actions": ["pager"],
    }
    kind = {"type": "webhook", "url": house.pager.url, "secret": SECRET}
    trusted = {"model": "watched", "baseline": "watched", "trust_event_time": True}
    return [
        {"kind": "Endpoint", "name": "watched", "spec": trusted},
        {"kind": "Channel", "name": "pager", "spec": kind},
        {"kind": "Alarm", "name": "watched: violations", "spec": {**metric, **judged}},
    ]


def _monitor(house: House, name: str) -> tuple[int, str]:
    days = (YESTERDAY, YESTERDAY + timedelta(days=1))
    span = [day.isoformat() for day in days]
    return house.run("monitor", "run", name, "--from", span[0], "--to", span[1])


def test_from_deploy_to_the_pager_and_the_rows(house: House) -> None:
    code, shown = _deploy(house, "watched")
    assert (code, "watched/invocations" in shown) == (0, True), shown
    (house.folder / "more.yaml").write_text(yaml.safe_dump_all(_resources(house)))
    code, shown = house.run("apply", "-f", "more.yaml")
    assert code == 0, shown
    house.send("watched", 100)
    house.stored("watched", 100)
    code, shown = _monitor(house, "watched-data-quality")
    assert code == 0, shown

    house.send("watched", 60, factor=25.4)
    table = house.stored("watched", 160)
    code, shown = _monitor(house, "watched-data-quality")
    page = eventually(lambda: next(iter(house.pager.pages), None))

    assert code == 1
    assert "mean radius" in shown
    assert table["event_id"].n_unique() == table.height == 160
    assert table["feature_mean_radius"].dtype == pl.Float64
    assert (page.alarm, page.state) == ("watched: violations", "ALARM")
    assert page.cause.startswith("mean radius: ")
    assert page.link.startswith(f"{house.dashboard}/monitors/watched-data-quality?window=")
    assert house.pager.refused_count == 0


def test_the_same_rows_are_judged_once(house: House, cells: str) -> None:
    house.send(cells, 40)
    house.stored(cells, 40)

    with Client(house.server) as client:
        window = {"start": datetime.now(UTC) - timedelta(hours=1), "end": datetime.now(UTC)}
        first, second = (client.run_monitor(f"{cells}-data-quality", **window) for _ in range(2))

    assert first == second


def test_declaring_the_same_twice_changes_nothing(house: House, cells: str) -> None:
    code, shown = _deploy(house, cells)

    assert code == 0
    assert {line.split()[0] for line in shown.splitlines() if cells in line[:40]} == {"unchanged"}


def test_the_resources_of_the_docs_can_be_declared_after_the_readmes_deploy(house: House) -> None:
    text = (Path(__file__).parents[2] / "docs" / "resources.md").read_text()
    (house.folder / "docs.yaml").write_text(text.split("```yaml\n")[2].split("```")[0])
    _deploy(house, "model")

    code, shown = house.run("apply", "-f", "docs.yaml")

    assert code == 0, shown
    assert "model: any violation" in house.run("get", "alarm")[1]


def test_a_csv_as_data_frames_write_it_can_be_sent(house: House, cells: str) -> None:
    DATA.data[:3].to_csv(house.folder / "headed.csv", index=False)

    code, shown = house.run("invoke", cells, "headed.csv")

    assert code == 0, shown
    *answers, told = shown.splitlines()
    assert len(answers) == 3
    assert told.startswith("id for labels: ")
    house.stored(cells, 1)  # There is a table from then on.
    eventually(lambda: told.split(": ")[1] in house.table(cells)["event_id"])


def test_a_request_can_be_named_for_its_labels(house: House, cells: str) -> None:
    DATA.data[:3].to_csv(house.folder / "headed.csv", index=False)

    code, shown = house.run("invoke", cells, "headed.csv", "--inference-id", "order-1")

    assert (code, len(shown.splitlines())) == (0, 3), shown
    eventually(lambda: "order-1" in house.table(cells)["inference_id"])


def test_one_wrong_resource_refuses_all(house: House, cells: str) -> None:
    before = house.run("get", "endpoint", "--json")
    good = {"kind": "Channel", "name": "fine", "spec": {"type": "webhook", "url": house.pager.url}}
    bad = {"kind": "Endpoint", "name": "bad", "spec": {"model": cells, "sampling_percntage": 5}}
    (house.folder / "mixed.yaml").write_text(yaml.safe_dump_all([good, bad]))

    code, shown = house.run("apply", "-f", "mixed.yaml")

    assert code == 2
    assert "sampling_percentage" in shown
    assert house.run("get", "endpoint", "--json") == before
    assert '"fine"' not in house.run("get", "channel", "--json")[1]


def test_a_malformed_body_is_400_and_counted_not_stored_as_rows(house: House, cells: str) -> None:
    (house.folder / "wrong.csv").write_text("1,2,three\n")

    code, shown = house.run("invoke", cells, "wrong.csv")

    assert code == 2
    assert "30" in shown
    house.stored(cells, 1)
    refused = eventually(lambda: [one for one in house.table(cells)["status"] if one != 200])
    assert refused == [400]


def test_what_is_killed_comes_back_and_nothing_is_lost(house: House, cells: str) -> None:
    sent = house.send(cells, 50)
    victim = next(
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_background(entry, house.process)
    )

    os.kill(victim, signal.SIGKILL)
    sent += house.send(cells, 50)

    house.stored(cells, 100)
    eventually(lambda: set(sent) <= set(house.table(cells)["event_id"]))
    rows = [event for event in house.table(cells)["event_id"] if event in set(sent)]
    assert len(rows) == len(set(rows)) == 100


def _is_background(entry: Path, supervisor: int) -> bool:
    try:
        is_named = (entry / "comm").read_text() == "background\n"
        return is_named and _parent_of(_parent_of(int(entry.name))) == supervisor
    except OSError:
        return False


def _parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_taken_port_is_4_and_names_the_setting(house: House) -> None:
    found = driftline("server", cwd=house.folder)

    assert found.returncode == 4
    assert "[server] port" in found.stderr


def test_listening_for_others_without_auth_is_2(tmp_path: Path) -> None:
    found = driftline("server", "--host", "0.0.0.0", cwd=tmp_path)

    assert found.returncode == 2
    assert "loopback" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_setting_is_shown_with_its_source(tmp_path: Path) -> None:
    found = driftline("settings", "--json", cwd=tmp_path)

    rows = json.loads(found.stdout)
    assert {"section", "key", "value", "source", "about"} == set(rows[0])
    assert {row["source"] for row in rows} == {"default"}


def test_what_deploy_made_is_taken_down_again_and_captured_rows_stay(
    house: House, cells: str
) -> None:
    code, shown = _deploy(house, "brief")
    assert code == 0, shown
    house.send("brief", 3)
    house.stored("brief", 3)
    kinds = ("Model", "Baseline", "Endpoint", "Monitor", "Alarm")
    with Client(house.server) as client:
        before = {kind: {one["name"] for one in client.list(kind)} for kind in kinds}

        refused, asked = house.run("undeploy", "brief")
        code, shown = house.run("undeploy", "brief", "--yes")

        left = {kind: {one["name"] for one in client.list(kind)} for kind in kinds}
    gone = {kind: before[kind] - left[kind] for kind in kinds}
    assert (refused, "Endpoint brief" in asked, "add --yes" in asked) == (2, True, True)
    assert (code, "deleted Endpoint brief" in shown) == (0, True), shown
    assert all(gone.values())
    assert {
        name.partition(":")[0].partition("-")[0] for names in gone.values() for name in names
    } == {"brief"}
    assert not [name for names in left.values() for name in names if name.startswith("brief")]
    assert cells in left["Endpoint"]
    assert house.table("brief").height == 3
