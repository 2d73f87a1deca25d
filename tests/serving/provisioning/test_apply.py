import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.base
import skops.io
from sklearn.linear_model import LogisticRegression
from sqlalchemy import select

from driftline.alerts import tables as alerts_tables
from driftline.monitors import tables as monitors_tables
from driftline.serving import tables as serving_tables
from driftline.serving.resources.artifacts import model_digest
from tests.kit.resources import alarm_on

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def everything(trained, declare):
    """Return one resource of each kind."""
    return [
        *trained.flights(),
        declare("Channel", "pager", url="https://pager.example/hook", secret=SECRET),
        declare("Monitor", "flights-quality", endpoint="flights", baseline="flights"),
        alarm(),
    ]


def alarm(**changes):
    name = "flights: broken / input"
    return alarm_on("Flights-Quality", "pager", name=name, **{"metric_name": "pages", **changes})


def state_of(server):
    """Return everything that an apply could change: rows of all rooms, files of the root."""
    found = {}
    with server.engine.connect() as connection:
        for room in (serving_tables, monitors_tables, alerts_tables):
            for table in room.metadata.sorted_tables:
                found[table.name] = [tuple(row) for row in connection.execute(select(table))]
    root = Path(server.root)
    found["files"] = sorted(
        (str(path.relative_to(root)), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    )
    return found


def actions_of(answer):
    return {(one["kind"], one["name"]): one["action"] for one in answer.json()["changes"]}


def test_a_whole_installation_is_made_at_once_and_the_second_time_changes_nothing(
    start, everything, tmp_path, until
):
    with start(tmp_path) as server:
        dry = server.apply(*everything, dry_run=True)
        empty = state_of(server)
        first = server.apply(*everything)
        made = state_of(server)
        second = server.apply(*everything)

        assert set(actions_of(dry).values()) == set(actions_of(first).values()) == {"create"}
        # Its own id a database has from its first moment on.
        assert [name for name, rows in empty.items() if rows] == ["serving_installation"]
        assert set(actions_of(second).values()) == {"unchanged"}
        assert state_of(server) == made
        assert server.invoke("flights", "UA,EWR,1400,39").status_code == 200
        assert SECRET not in first.text
        alarm = server.client.get("/api/v1/alarms/flights: broken / input").json()["spec"]
        place = {"Endpoint": "flights", "MonitoringSchedule": "flights-quality"}
        assert (alarm["namespace"], alarm["period"]) == ("Driftline", 86_400)
        assert alarm["dimensions"] == place
        shown = server.client.get("/api/v1/channels/pager")
        assert "secret" not in shown.text

        before = server.invoke("flights", "UA,EWR,1400,39").content

    with start(tmp_path) as again:
        until(lambda: again.client.get("/readyz").status_code == 200)
        assert again.invoke("flights", "UA,EWR,1400,39").content == before
        _delete_is_refused_while_needed(again, until)
        left = again.client.get("/api/v1/channels").json()["items"]

    assert left == []


def _delete_is_refused_while_needed(server, until):
    for collection, name, user in (
        ("models", "flights", 'Endpoint "flights"'),
        ("baselines", "flights", 'Endpoint "flights"'),
        ("endpoints", "flights", 'Monitor "flights-quality"'),
        ("channels", "pager", 'Alarm "flights: broken / input"'),
    ):
        refused = server.client.delete(f"/api/v1/{collection}/{name}")
        assert refused.status_code == 409
        assert user in server.error_of(refused)["message"]
    for path in (
        "alarms/flights: broken / input",
        "monitors/flights-quality",
        "endpoints/flights",
        "models/flights",
        "baselines/flights",
        "channels/pager",
    ):
        assert server.client.delete(f"/api/v1/{path}").status_code == 204
        assert server.client.delete(f"/api/v1/{path}").status_code == 404
    assert server.invoke("flights", "UA,EWR,1400,39").status_code == 404
    until(lambda: not server.worker_ids())


def test_an_error_in_the_last_resource_changes_nothing(shared, everything):
    *good, last = everything
    before = state_of(shared)

    for wrong in (
        alarm(period=45),
        {**last, "kind": "Modle"},
        {**last, "kind": "Model", "spec": {"path": "model.skops"}},
        alarm(alarm_actions=["pagr"]),
        {"kind": "CompositeAlarm", "name": "any", "spec": {"alarm_rule": "ALARM(gone)"}},
    ):
        for dry_run in (True, False):
            answer = shared.apply(*good, wrong, dry_run=dry_run)

            assert answer.status_code == 400
            assert state_of(shared) == before


def test_what_does_not_fit_what_is_ready_is_refused_before_anything_is_stored(
    shared, trained, declare, tmp_path
):
    joblib.dump(trained.model, tmp_path / "m.joblib")
    data = {"data": str(trained.reference), "label": "late"}
    fits = {"endpoint": "fits", "baseline": "fits"}
    shared.apply(declare("Baseline", "fits", **data), declare("Endpoint", "fits", baseline="fits"))
    before = state_of(shared)

    for bad, told in (
        (declare("Model", "pickle", path=str(tmp_path / "m.joblib")), "trust_pickle = true"),
        (declare("Monitor", "bad", **fits, rules=["nosuch > 3"]), 'Monitor "bad"'),
        (declare("Monitor", "bad", **fits | {"baseline": "fits@99"}), 'Monitor "bad"'),
    ):
        for dry_run in (True, False):
            refused = shared.apply(declare("Monitor", "good", **fits), bad, dry_run=dry_run)

            assert told in shared.error_of(refused)["message"]
            assert (refused.status_code, state_of(shared)) == (400, before)


def test_an_update_says_what_changes_and_a_new_model_takes_over(shared, trained, declare, tmp_path):
    file = tmp_path / "m.skops"
    shutil.copyfile(trained.file, file)
    model = declare("Model", "moving", path=str(file))
    endpoint = declare("Endpoint", "moving", model="moving")
    shared.apply(model, endpoint)
    before = shared.invoke("moving", "UA,EWR,1400,39").text
    deployed = shared.client.get("/api/v1/endpoints/moving").json()["status"]["deployed"]

    turned = sklearn.base.clone(trained.model).set_params(classify=LogisticRegression(C=0.001))
    skops.io.dump(turned.fit(trained.inputs, trained.frame["late"]), file)
    alone = shared.apply(model)
    endpoint["spec"]["sampling_percentage"] = 50
    endpoint["owner"] = "ops"
    changed = shared.apply(endpoint)

    assert alone.json()["changes"][0]["fields"] == ["the model's file holds other bytes"]
    assert shared.invoke("moving", "UA,EWR,1400,39").text != before
    assert changed.json()["changes"][0]["fields"] == [
        "spec.sampling_percentage: null -> 50.0",
        'owner: null -> "ops"',
    ]
    found = shared.client.get("/api/v1/endpoints/moving").json()
    assert (found["generation"], found["owner"]) == (2, "ops")
    assert found["status"]["state"] == "InService"
    assert found["status"]["deployed"]["since"] >= deployed["since"]
    assert found["status"]["deployed"]["models"] == [model_digest(file)] != deployed["models"]


def test_a_new_reference_gives_the_monitor_its_new_version(shared, trained, declare, tmp_path):
    file = tmp_path / "train.parquet"
    shutil.copyfile(trained.reference, file)
    resources = [
        declare("Model", "refit", path=str(trained.file)),
        declare("Baseline", "refit", data=str(file), label="late"),
        declare("Endpoint", "refit", model="refit", baseline="refit"),
        declare("Monitor", "refit", endpoint="refit", baseline="refit"),
    ]
    shared.apply(*resources)
    first = shared.client.get("/api/v1/monitors/refit").json()["status"]
    pd.read_parquet(file).head(300).to_parquet(file, index=False)

    changed = shared.apply(*resources)

    second = shared.client.get("/api/v1/monitors/refit").json()["status"]
    assert actions_of(changed)["Baseline", "refit"] == "update"
    assert second["version"] == first["version"] + 1
    assert second["baseline_version"] != first["baseline_version"]


def test_a_monitor_whose_positive_class_nobody_knows_fails_with_the_question(
    shared, declare, tmp_path
):
    random, name = np.random.default_rng(4), "asks"
    truth, said = random.choice([*"ab"], (2, 300))
    pd.DataFrame({"truth": truth, "said": said}).to_parquet(tmp_path / "r.parquet")
    given = {"data": str(tmp_path / "r.parquet"), "label": "truth", "prediction": "said"}
    endpoint = declare("Endpoint", name, baseline=name)
    watched = declare("Monitor", name, endpoint=name, baseline=name, kind="model-quality")

    refused = shared.apply(declare("Baseline", name, **given), endpoint, watched)
    told = shared.apply(declare("Baseline", name, **given, positive="a"), watched)

    assert "positive class" in shared.error_of(refused)["message"]
    assert (refused.status_code, told.status_code) == (400, 200)
