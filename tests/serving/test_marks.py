"""Marks over HTTP and on the command line: what they change, and what they leave as it is."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.baseline import store as baselines
from driftline.baseline.renewal import changes_of
from driftline.serving.api.annotating import unmark
from driftline.serving.hosting.model_process import ModelShelf
from tests.servers.commands import python
from tests.serving.conftest import NOW
from tests.serving.marks_yard import judge, marked

PATH = "/api/v1/monitors/quality"
FIRST = "20260112T000000Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with marked(tmp_path_factory.mktemp("marks")) as found:
        yield found


def mark(server, **asked) -> dict:
    body = {"window": FIRST, "reason": "so it is", "author": "ann", **asked}
    answer = server.client.post(f"{PATH}/marks", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def withdraw(server, identity: int):
    path = f"{PATH}/marks/{identity}/withdraw"
    return server.client.post(path, json={"author": "bob"})


def version(server, monitor: str = "quality") -> str:
    return server.client.get(f"/api/v1/monitors/{monitor}").json()["status"]["baseline_version"]


def test_what_was_expected_is_judged_again_at_once_and_alarms_no_more(server):
    found = mark(server, verdict="expected", until="2026-01-14T00:00:00Z")

    third = judge(server, 2)
    back = withdraw(server, found["mark"]["id"]).json()

    assert [one["status"] for one in found["executions"]] == ["Completed", "Completed"]
    assert [one["violation_count"] for one in found["executions"]] == [0, 0]
    assert third["status"] == "CompletedWithViolations"
    assert back["mark"]["withdrawn_by"] == "bob"
    assert [one["status"] for one in back["executions"]] == ["CompletedWithViolations"] * 2
    listed = server.client.get(f"{PATH}/marks").json()["items"]
    assert listed[0] == back["mark"]


def test_the_rows_behind_what_was_expected_can_still_be_seen(server):
    found = mark(server, verdict="expected", feature="distance")
    identity = found["executions"][0]["id"]

    report = server.client.get(f"/api/v1/executions/{identity}/report").json()
    at = len(report["violations"])
    rows = server.client.get(f"/api/v1/executions/{identity}/rows", params={"violation": at}).json()

    withdraw(server, found["mark"]["id"])
    assert report["expected_violations"][0]["feature_name"] == "distance"
    assert rows["rows"][0]["distance"] >= 100_000


def test_the_command_gives_the_rows_of_a_window_whose_violations_are_all_expected(server, tmp_path):
    found = mark(server, verdict="expected")
    file, everything = tmp_path / "distance.parquet", tmp_path / "all.parquet"
    words = ["monitor", "rows", "quality", "--window", "2026-01-12", "--server", server.url]

    shown = CliRunner().invoke(build("monitor"), [*words, "--limit", "2", "--json"])
    named = CliRunner().invoke(build("monitor"), [*words, "--feature", "distance", "-o", str(file)])
    whole = CliRunner().invoke(build("monitor"), [*words, "-o", str(everything)])

    withdraw(server, found["mark"]["id"])
    for done in (shown, named, whole):
        assert done.exit_code == 0, done.output
    assert len(json.loads(shown.stdout)["rows"]) == 2
    assert pd.read_parquet(file)["distance"].min() > 3_000
    assert pd.read_parquet(everything)["share_of_blame"].sum() == pytest.approx(1.0)


def test_the_new_normal_changes_the_named_feature_only(server):
    root, before = server.context.root, version(server)
    old = baselines.get(root, "flights", before)

    found = mark(server, verdict="new-normal", feature="distance", to="2026-01-15T00:00:00Z",
                 **{"from": "2026-01-12T00:00:00Z"})  # fmt: skip

    new = baselines.get(root, "flights", version(server))
    assert found["monitors"] == ["quality", "second"]
    assert version(server) == version(server, "second") == found["mark"]["baseline_version_after"]
    assert found["mark"]["baseline_version_before"] == before != new.version
    assert new.profile.columns["distance"].row_count == 1440
    assert new.cells["distance"] != old.cells["distance"]
    for name in ("carrier", "origin", "temp", "late"):
        assert vars_of(new, name) == vars_of(old, name)
    (change,) = changes_of(new)
    assert (change["columns"], change["author"]) == (["distance"], "ann")
    assert (change["reason"], change["rows"]) == ("so it is", 1440)
    # All three windows are judged again: distances fit, carriers do not.
    assert len(found["executions"]) == 3
    report = server.client.get(f"/api/v1/executions/{found['executions'][2]['id']}/report").json()
    features = {one["feature_name"] for one in report["violations"]}
    assert "distance" not in features
    assert "carrier" in features

    back = withdraw(server, found["mark"]["id"]).json()
    assert back["monitors"] == ["quality", "second"]
    assert version(server) == version(server, "second") == before


def vars_of(baseline, name: str) -> tuple:
    column = baseline.profile.columns[name]
    table = baseline.profile.to_arrow(baseline.blocks).to_pylist()
    # A profile in which no column has runs has no such field at all.
    row = next({"runs": None, **one} for one in table if one["name"] == name)
    return row, baseline.constraints.feature(name), baseline.cells.get(name), column.type


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"window": "20260101T000000Z"}, 404, "has judged no window that starts 2026-01-01T00:00"),
        ({"window": "yesterday"}, 400, 'window "yesterday"; expected its start'),
        ({"window": "0001-01-01T00:00:00+14:00"}, 400, "expected one within the years 1 to 9999"),
        ({"until": "9999-12-31T23:59:59-14:00"}, 400, "expected one within the years 1 to 9999"),
        ({"verdict": "new-normal", "feature": "temp", "from": "0001-01-01T00:00:00+14:00",
          "to": "2026-01-13T00:00:00Z"}, 400, "expected one within the years 1 to 9999"),
        ({"feature": "distanze"}, 404, 'feature "distanze" is not known; the nearest known one is'),
        ({"check": "drift"}, 404, 'check "drift" is not known'),
        ({"verdict": "fine"}, 400, 'mark as "fine"; expected one of expected, harmful'),
        ({"reason": ""}, 400, "reason of a mark: 0 characters"),
        ({"verdict": "harmful", "from": "2026-01-12T00:00:00Z", "to": "2026-01-13T00:00:00Z"},
         400, 'expected "new-normal", the only one that is made of rows'),
        ({"verdict": "new-normal"}, 400, "names no feature"),
        ({"verdict": "new-normal", "feature": "late"}, 400, "could be made anew"),
        ({"verdict": "new-normal", "feature": "temp", "from": "2026-01-12T00:00:00Z",
          "to": "2026-01-12T02:00:00Z"}, 409, "40 rows were captured"),
    ],
)  # fmt: skip
def test_wrong_marks_are_refused_and_change_nothing(server, asked, status, said):
    before = version(server), server.client.get(f"{PATH}/marks").json()
    body = {"window": FIRST, "verdict": "expected", "reason": "r", "author": "a", **asked}

    answer = server.client.post(f"{PATH}/marks", json=body)

    assert answer.status_code == status
    assert said in server.error_of(answer)["message"]
    assert (version(server), server.client.get(f"{PATH}/marks").json()) == before


def test_a_mark_is_withdrawn_once(server):
    found = mark(server, verdict="harmful", feature="distance")

    first, second = (withdraw(server, found["mark"]["id"]) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 409)
    assert withdraw(server, 9999).status_code == 404
    assert withdraw(server, 10**20).status_code == 400


def test_the_commands_tell_it_to_people_and_to_programs(server):
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(build("monitor"), ["monitor", *words, "--server", server.url])
        return done.exit_code, done.stdout

    code, said = run(
        "mark", "quality", "--window", "2026-01-13", "--as", "expected", "--reason", "a sale",
        "--feature", "distance", "--feature", "carrier", "--author", "ann",
    )  # fmt: skip
    newest = server.client.get(f"{PATH}/marks").json()["items"][:2]
    _, listed = run("marks", "quality")
    _, found = run("marks", "quality", "--json")
    gone, told = run("unmark", "quality", str(newest[0]["id"]), "--author", "bob")
    withdraw(server, newest[1]["id"])

    assert code == 0, said
    assert f"mark {newest[1]['id']}: distance marked as expected" in said
    assert "judged again: 2026-01-13T00:00:00+00:00: " in said
    assert [one["feature"] for one in newest] == ["carrier", "distance"]
    assert "a sale" in listed
    assert json.loads(found)[:2] == newest
    assert gone == 0
    assert f"mark {newest[0]['id']}: carrier withdrawn as expected" in told


def test_of_several_features_all_are_marked_or_none(server):
    asked = ["mark", "quality", "--window", "2026-01-13", "--as", "expected", "--reason", "a sale",
             "--feature", "distance", "--feature", "distanze", "--author", "ann"]  # fmt: skip

    done = CliRunner().invoke(build("monitor"), ["monitor", *asked, "--server", server.url])

    assert done.exit_code != 0
    newest = server.client.get(f"{PATH}/marks").json()["items"][0]
    assert (newest["feature"], newest["withdrawn_by"]) == ("distance", "ann")


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import Annotation
from driftline.serving.api import annotating
from driftline.serving.context import ServerContext
from tests.servers.postgres import open_url

def dies(connection, mark):
    kept(connection, mark)
    os.kill(os.getpid(), signal.SIGKILL)

kept, annotating.put_annotation = annotating.put_annotation, dies
url, root = sys.argv[1:]
now = datetime(2026, 1, 15, tzinfo=UTC)
window = Window(datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC))
context = ServerContext(engine=open_url(url), root=root, spool_dir=Path(root), now=lambda: now)
said = "so it is", "ann", now
annotation = Annotation("quality", window, "new-normal", *said, feature="temp")
annotating.mark_window(context, None, annotation)
"""


def test_a_kill_before_the_end_leaves_neither_mark_nor_version_in_use(server):
    before = version(server), server.client.get(f"{PATH}/marks").json()
    url = server.engine.url.render_as_string(hide_password=False)

    died = python(KILLED, url, server.context.root).wait(60)

    assert died == -signal.SIGKILL
    # The version was written, and nobody uses it.
    assert len(baselines.versions(server.context.root, "flights")) >= 2
    assert (version(server), server.client.get(f"{PATH}/marks").json()) == before
    found = mark(server, verdict="new-normal", feature="temp")
    assert version(server) == found["mark"]["baseline_version_after"]
    assert withdraw(server, found["mark"]["id"]).json()["monitors"] == ["quality", "second"]


def test_windows_past_retention_keep_their_verdict_when_the_new_normal_goes(server):
    found = mark(server, verdict="new-normal", feature="temp")
    shelf = ModelShelf(server.engine, server.context.root, trust_pickle=False)
    later = replace(server.context, now=lambda: NOW + timedelta(days=90))
    before = server.client.get(f"{PATH}/executions").json()

    back = unmark(later, shelf, "quality", found["mark"]["id"], author="bob")

    assert back.monitors == ("quality", "second")
    assert back.executions == ()
    assert server.client.get(f"{PATH}/executions").json() == before
