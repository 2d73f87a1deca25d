"""A monitor's standing with its baseline over HTTP and on the command line."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError

from driftline.capture.windows.window import Window
from driftline.monitors.captured_baseline import spans_left
from driftline.serving.provisioning.renewal import move_version, require_in_use
from driftline.serving.provisioning.rolling import Rolling, rolling_window
from driftline.serving.resources import store
from driftline.serving.resources.specs import RollingSpec
from tests.serving.conftest import make_frame

DAY = datetime(2026, 1, 14, tzinfo=UTC)
PATH = "/api/v1/monitors/quality"
JOINT = {"kind": "joint", "endpoint": "flights", "baseline": "flights"}


@pytest.fixture(scope="module")
def server(start, trained, declare, tmp_path_factory):
    """Return a server with three days of captured requests, of which some carriers are new."""
    with start(tmp_path_factory.mktemp("commission")) as found:
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            declare("Monitor", "quality", endpoint="flights", baseline="flights"),
            {"kind": "Monitor", "name": "pairs", "spec": JOINT},
        )
        assert answer.status_code == 200, answer.text
        rows = trained.inputs.assign(carrier=np.where(trained.inputs.index % 5, "UA", "EVX"))
        found.send_hours(rows, DAY, 72)
        yield found


def judge(server, day: int) -> dict:
    window = {
        "from": (DAY + timedelta(days=day)).isoformat(),
        "to": (DAY + timedelta(days=day + 1)).isoformat(),
    }
    return server.client.post(f"{PATH}/run", json=window).json()


def test_a_baseline_is_made_of_captured_rows_and_used_from_then_on(server):
    few = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-14T02:00:00Z"}
    time = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-17T00:00:00Z"}
    far = {**time, "from": "0001-01-01T00:00:00+14:00"}

    refused = server.client.post(f"{PATH}/baseline", json=few)
    unheard = server.client.post(f"{PATH}/baseline", json=far)
    made = server.client.post(f"{PATH}/baseline", json=time).json()
    ran = judge(server, 2)

    assert refused.status_code == 409
    assert "40 rows were captured" in refused.json()["error"]["message"]
    assert unheard.status_code == 400
    assert "expected one within the years 1 to 9999" in server.error_of(unheard)["message"]
    assert made["row_count"] == 1440
    assert ran["baseline_version"] == made["version"]
    assert ran["status"] == "Completed"


def test_a_version_of_captured_rows_is_a_candidate_until_it_is_promoted(server):
    time = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T06:00:00Z"}

    def in_use():
        return server.client.get("/api/v1/monitors/quality").json()["status"]["baseline_version"]

    path, before = "/api/v1/baselines/flights", in_use()
    made = server.client.post(f"{path}/versions", json={"endpoint": "flights", **time}).json()
    between = in_use()
    neither = server.client.post(f"{path}/versions", json=time)
    again = {"monitor": "quality", **time, "promote": True}
    promoted = server.client.post(f"{path}/versions", json=again).json()
    after = in_use()
    server.client.post(f"{path}/promote", json={"version": before})

    assert (made["row_count"], made["promoted"]) == (600, False)
    assert made["origin"]["endpoint"] == "flights"
    assert (between, after) == (before, made["version"])
    assert promoted["number"] == made["number"]
    assert "expected endpoint or monitor" in server.error_of(neither)["message"]


def test_rows_of_an_app_of_ones_own_make_a_version_without_what_is_not_captured(
    server, declare, tmp_path
):
    """The app's signature names the label, and what is left out; the table has none."""
    file = tmp_path / "orders.parquet"
    make_frame().assign(said=1).to_parquet(file, index=False)
    time = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
    applied = server.apply(
        declare(
            "Baseline",
            "orders",
            data=str(file),
            label="late",
            prediction="said",
            exclude=["origin"],
            weight="distance",
        ),
        declare("Endpoint", "orders", baseline="orders"),
    )

    path = "/api/v1/baselines/orders/versions"
    answer = server.client.post(path, json={"endpoint": "orders", **time})

    assert applied.status_code == 200, applied.text
    assert "0 rows were captured in [2026-01-14T" in server.error_of(answer)["message"]


def test_a_baseline_is_declared_of_captured_rows(server, declare):
    span = {"endpoint": "flights", "from": "2026-01-14", "to": "2026-01-15T06:00:00Z"}
    resource = declare("Baseline", "mid-january", data=span)

    answer, again = server.apply(resource), server.apply(resource)
    found = server.client.get("/api/v1/baselines/mid-january/versions").json()["items"]
    later = server.apply(declare("Baseline", "later", data={**span, "to": "2999-01-01"}))
    wrong = server.apply(
        declare("Baseline", "later", data={**span, "to": "9999-12-31T23:59-12:00"})
    )

    assert answer.status_code == 200, answer.text
    assert again.json()["changes"][0]["action"] == "unchanged"
    assert [one["row_count"] for one in found] == [600]
    assert (later.status_code, "is not over yet" in later.text) == (400, True)
    assert (wrong.status_code, "years 1 to 9999" in wrong.text) == (400, True)


def test_a_rolling_baseline_leaves_out_windows_in_violation_and_learns_no_change(server, declare):
    rolling = {"endpoint": "flights", "length": "3d", "every": "1d", "gap": "0d"}
    promoted = []

    async def promote(name, version, before):
        promoted.append((name, version))

    def roll(**more):
        resource = declare("Baseline", "rolled", **spec, rolling={**rolling, **more})
        assert server.apply(resource).status_code == 200
        asyncio.run(Rolling(context, promote).step())
        return server.client.get("/api/v1/baselines/rolled/versions").json()["items"]

    flights = server.client.get("/api/v1/baselines/flights").json()["spec"]
    spec = {"data": flights["data"], "label": "late"}
    context = replace(server.context, now=lambda: DAY + timedelta(days=3))
    server.apply(
        declare("Baseline", "rolled", **spec),
        declare("Monitor", "watch", endpoint="flights", baseline="rolled"),
    )
    window = {"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat()}
    ran = server.client.post("/api/v1/monitors/watch/run", json=window).json()

    versions, again = roll(), roll()
    always = roll(length="2d", promote="always")

    unheard = {**spec, "rolling": {**rolling, "endpoint": "flihgts"}}
    refused = server.apply(declare("Baseline", "rolled", **unheard))

    assert ran["violation_count"] > 0
    assert "flights" in server.error_of(refused)["message"]
    assert [one["row_count"] for one in versions] == [960, 600]
    assert versions[0]["origin"]["left_out"] == ["20260114T000000Z"]
    assert (versions[0]["in_use"], again) == (False, versions)  # Its carriers have changed.
    assert always == versions  # The same rows are the same version.
    assert promoted == [("rolled", versions[0]["version"])]


@pytest.fixture
def rolled(server, declare):
    """Return a baseline with its own way to have versions used, whose first day is in violation."""
    spec = server.client.get("/api/v1/baselines/flights").json()["spec"]
    return Rolled(server, declare, {"data": spec["data"], "label": "late"})


class Rolled:
    """A baseline that rolls, judged by one monitor."""

    def __init__(self, server, declare, spec) -> None:
        self.server, self.declare, self.spec = server, declare, spec
        self.name, self.asked, self.failing = f"rolled-{uuid.uuid4().hex[:6]}", [], []
        self.now = DAY + timedelta(days=3)
        server.apply(
            declare("Baseline", self.name, **spec),
            declare("Monitor", f"of-{self.name}", endpoint="flights", baseline=self.name),
        )
        self.first = self.in_use

    @property
    def in_use(self) -> str:
        with self.server.engine.connect() as connection:
            return store.get(connection, "Baseline", self.name).made["version"]

    def rolling(self, **more) -> Rolling:
        """Declare it, and begin as a process does that starts anew."""
        spec = {"endpoint": "flights", "length": "2d", "every": "1d", "gap": "0d", **more}
        answer = self.server.apply(self.declare("Baseline", self.name, **self.spec, rolling=spec))
        assert answer.status_code == 200, answer.text
        return Rolling(replace(self.server.context, now=lambda: self.now), self.promote)

    async def promote(self, name, version, before) -> None:
        if name == self.name:
            self.asked.append((version, before))
            if self.failing:
                raise self.failing.pop(0)
            self.use(version, before)

    def use(self, version, before=None) -> None:
        with self.server.engine.begin() as connection:
            store.hold_all(connection)
            row = store.get(connection, "Baseline", self.name)
            if before is not None:
                require_in_use(row, before)
            move_version(connection, row, version, self.now)


def test_a_version_that_was_used_once_is_not_used_again_by_a_server_that_starts_anew(rolled):
    window = {"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat()}
    path = f"/api/v1/monitors/of-{rolled.name}/run"
    assert rolled.server.client.post(path, json=window).json()["violation_count"] > 0
    asyncio.run(rolled.rolling(promote="always").step())
    made = rolled.in_use
    rolled.use(rolled.first)  # By hand.

    for length in ("2d", "3d"):  # Without the day in violation three days have the rows of two.
        asyncio.run(rolled.rolling(length=length, promote="always").step())

    assert made != rolled.first
    assert rolled.asked == [(made, rolled.first)]
    assert rolled.in_use == rolled.first


def test_a_version_that_cannot_be_used_now_is_tried_again_without_being_made_again(rolled, caplog):
    rolled.failing = [OperationalError("UPDATE t", {"p": "secret"}, Exception("secret")), OSError()]
    rolling = rolled.rolling(promote="always")

    for _ in range(4):
        asyncio.run(rolling.step())

    assert rolled.asked == [(rolled.in_use, rolled.first)] * 3
    assert rolled.in_use != rolled.first
    said = [one.getMessage() for one in caplog.records if rolled.name in one.getMessage()]
    assert [one for one in said if one.endswith("not used: OperationalError")]
    assert "secret" not in caplog.text


def test_what_is_left_of_a_time_is_what_no_window_covers():
    def span(start, end):
        return Window(DAY + timedelta(days=start), DAY + timedelta(days=end))

    left = spans_left(span(0, 10), [span(4, 5), span(-1, 1), span(4, 6), span(9, 12)])

    assert left == [span(1, 4), span(6, 9)]
    assert spans_left(span(0, 1), []) == [span(0, 1)]
    assert spans_left(span(0, 1), [span(-3, 3)]) == []


def test_a_rolling_time_stays_the_same_until_the_next_is_due():
    spec = RollingSpec(endpoint="flights", length="30d", every="7d", gap="2d")
    monday = datetime(2026, 1, 12, tzinfo=UTC)

    assert rolling_window(spec, monday + timedelta(days=2)).end == monday
    assert rolling_window(spec, monday + timedelta(days=8, hours=23)).end == monday
    assert rolling_window(spec, monday + timedelta(days=9)).end == monday + timedelta(days=7)
    assert rolling_window(spec, monday + timedelta(days=9)).length == timedelta(days=30)
