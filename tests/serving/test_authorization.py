"""Every route by every role: read as a table."""

import json
from datetime import timedelta

import httpx
import lightgbm
import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert

from driftline.access.authentication import REVOKED_S, Authenticator
from driftline.access.principal import ROLES, Principal
from driftline.access.tokens import create_token, new_secret
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.annotations.store import put_annotation
from driftline.monitors.tables import executions
from driftline.serving import authorization
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.conftest import NOW, running
from tests.serving.guarded import FILE_SECRET, PROXY_SECRET, bearer, guarded, knowing

SAMPLES = {
    "collection": "silences",
    "name": "flights",
    "path": "",
    "execution_id": "none",
    "violation": "0",
    "detector_id": "none",
    "message_id": "none",
    "identity": "none",
    "subject": "nobody",
}
INVOCATION = "POST /endpoints/{name}/invocations"
ROUTES = {**authorization.ROLES, INVOCATION: "invoke"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("access")) as found:
        yield found


@pytest.fixture(scope="module")
def secrets(server):
    with server.engine.begin() as connection:
        return {
            role: create_token(connection, role, [role], now=NOW, created_by="test")
            for role in ROLES
        }


def ask(server, action, secret=None, **headers):
    method, _, path = action.partition(" ")
    for name, value in SAMPLES.items():
        path = path.replace(f"{{{name}}}", value)
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    body = {"content": b"{}"} if method in ("POST", "PUT", "PATCH") else {}
    headers.setdefault("content-type", "application/json")
    return server.client.request(method, path, headers=headers, follow_redirects=False, **body)


def test_every_documented_route_has_a_role_and_every_role_a_route(server):
    document = ask(server, "GET /openapi.json", FILE_SECRET).json()
    documented = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }

    assert len(documented) > 60
    hidden = {"GET /docs", "GET /openapi.json", "GET /ui/{path}"}
    assert documented - {INVOCATION} == set(authorization.ROLES) - hidden


@pytest.mark.parametrize("action", ROUTES)
def test_a_route_answers_its_role_and_refuses_all_others(server, secrets, action):
    needed = ROUTES[action]
    for role in ROLES:
        allowed = needed == "anyone" or Principal("", frozenset({role})).may(needed)

        answer = ask(server, action, secrets[role])

        assert (answer.status_code == 403) == (not allowed), (role, answer.text)
        assert answer.status_code not in (401, 500), role
        if not allowed:
            message = server.error_of(answer)["message"]
            assert f'"{role}" has {role}; this takes the role {needed}' == message


@pytest.mark.parametrize("action", ROUTES)
def test_a_route_refuses_who_shows_nothing(server, action):
    answer = ask(server, action)

    is_health = action in ("GET /healthz", "GET /readyz")
    assert (answer.status_code == 401) != is_health, answer.text
    assert is_health or answer.headers["www-authenticate"] == 'Bearer realm="driftline"'


@pytest.mark.parametrize("path", ["/openapi.json", "/nothing", "/api/v2/x", "/endpoints/x"])
def test_what_has_no_route_is_not_told_to_strangers(server, path):
    assert server.client.get(path).status_code == 401


def test_a_host_of_the_settings_is_our_own(server):
    headers = {**bearer(FILE_SECRET), "host": "drift.example.org:8080"}

    assert server.client.get("/api/v1/tokens", headers=headers).status_code == 200


def test_the_proxy_is_believed_and_only_for_its_groups(server):
    headers = {
        "x-driftline-proxy-secret": PROXY_SECRET,
        "x-forwarded-user": "ana",
        "x-forwarded-groups": "staff",
    }
    who = server.client.get("/api/v1/whoami", headers=headers).json()

    assert who == {"subject": "ana", "via": "proxy", "roles": ["viewer"], "endpoints": None}
    assert server.client.get("/api/v1/alarms", headers=headers).status_code == 200
    assert server.client.get("/api/v1/tokens", headers=headers).status_code == 403


def test_a_token_for_one_endpoint_reaches_no_other(server):
    with server.engine.begin() as connection:
        secret = create_token(
            connection, "one", ["admin"], now=NOW, created_by="test", endpoints=["Flights"]
        )

    def status(action):
        return ask(server, action, secret).status_code

    assert status("POST /endpoints/flights/invocations") == 404  # Let in: there is none.
    assert status("POST /endpoints/FLIGHTS/invocations") == 404
    assert status("POST /endpoints/churn/invocations") == 403
    assert status("GET /api/v1/endpoints/flights") == 404
    assert status("GET /api/v1/endpoints/churn") == 403
    for action in (
        "GET /api/v1/alarms",
        "GET /api/v1/tokens",
        "GET /metrics",
        "GET /api/v1/counts",
    ):
        assert status(action) == 403, action
    assert status("GET /api/v1/monitors/unknown/executions") == 403
    event = {
        "ce-id": "1", "ce-specversion": "1.0", "ce-source": "x",
        "ce-type": "org.kubeflow.serving.inference.request",
        "ce-inferenceservicename": "churn",
    }  # fmt: skip
    answer = ask(server, "POST /v1/cloudevents", secret, **event)
    assert answer.status_code == 403
    assert ask(server, "POST /v1/cloudevents?endpoint=flights", secret, **event).status_code == 200


def test_kserves_logger_shows_a_token_by_its_url_and_reaches_its_endpoint_alone(server):
    with server.engine.begin() as connection:
        secret = create_token(
            connection, "iris", ["ingest"], now=NOW, created_by="test", endpoints=["iris"]
        )
    # As Go's client and httpx alike make Basic authentication of a URL with a password.
    url = f"{server.url.replace('//', f'//iris:{secret}@')}/v1/cloudevents"

    def send(service):
        headers = {
            "ce-id": service, "ce-specversion": "1.0", "ce-source": "x",
            "ce-type": "org.kubeflow.serving.inference.request",
            "ce-inferenceservicename": service, "content-type": "application/json",
        }  # fmt: skip
        return httpx.post(url, content=b"{}", headers=headers).status_code

    assert (send("iris"), send("churn")) == (200, 403)
    assert httpx.get(f"{server.url}/metrics", auth=("iris", secret)).status_code == 403
    assert httpx.post(f"{server.url}/v1/cloudevents").status_code == 401


def test_a_revoked_token_is_refused_after_a_moment(server, monkeypatch):
    for name in ("REMEMBERED_S", "REVOKED_S"):
        monkeypatch.setattr(f"driftline.access.authentication.{name}", 0.0)
    with server.engine.begin() as connection:
        secret = create_token(connection, "brief", ["viewer"], now=NOW, created_by="test")
    assert ask(server, "GET /api/v1/alarms", secret).status_code == 200
    assert ask(server, "DELETE /api/v1/tokens/brief", FILE_SECRET).status_code == 204

    assert ask(server, "GET /api/v1/alarms", secret).status_code == 401
    assert 0 < REVOKED_S <= 10


def test_a_token_is_made_shown_once_and_listed(server):
    body = {"name": "grafana", "roles": ["viewer"]}
    headers = bearer(FILE_SECRET)
    made = server.client.post("/api/v1/tokens", json=body, headers=headers)
    again = server.client.post("/api/v1/tokens", json=body, headers=headers)
    listed = server.client.get("/api/v1/tokens", headers=headers)

    assert made.status_code == 201
    secret = made.json()["token"]
    assert ask(server, "GET /metrics", secret).status_code == 200
    assert again.status_code == 409
    assert "grafana" in {one["name"] for one in listed.json()["items"]}
    assert secret not in listed.text


def test_the_audit_log_shows_who_changed_what(server, declare):
    headers = bearer(FILE_SECRET)
    silence = declare(
        "Silence", "night", alarm_names=["a"], ends_at="2026-02-01T00:00:00Z", comment="c",
        created_by="ana",
    )  # fmt: skip
    applied = {"resources": [silence]}
    assert server.client.post("/api/v1/apply", json=applied, headers=headers).status_code == 200
    silence["spec"]["comment"] = "d"
    assert server.client.post("/api/v1/apply", json=applied, headers=headers).status_code == 200
    assert server.client.delete("/api/v1/silences/night", headers=headers).status_code == 204

    params = {"target": "Silence/night"}
    found = server.client.get("/api/v1/audit", params=params, headers=headers).json()["items"]

    said = [
        (
            one["subject"], one["via"], one["action"],
            *(one[side] and one[side]["spec"]["comment"] for side in ("before", "after")),
        )
        for one in reversed(found)
    ]  # fmt: skip
    assert said == [
        ("local", "token", "create", None, "c"),
        ("local", "token", "update", "c", "d"),
        ("local", "token", "delete", "d", None),
    ]


def test_the_audit_log_shows_reads_of_rows_and_refusals_but_no_invocation(server, secrets):
    with server.engine.begin() as connection:
        curious = create_token(connection, "curious", ["viewer"], now=NOW, created_by="test")
    ask(server, "GET /api/v1/executions/{execution_id}/rows", secrets["analyst"])
    ask(server, "POST /api/v1/monitors/{name}/run", curious)
    ask(server, INVOCATION, secrets["invoke"])
    ask(server, "GET /api/v1/alarms", secrets["viewer"])

    def seen(subject):
        params = {"subject": subject, "limit": 1}
        (one,) = server.client.get(
            "/api/v1/audit", params=params, headers=bearer(FILE_SECRET)
        ).json()["items"]
        return one["action"], one["target"], one["status"]

    assert seen("analyst") == (
        "GET /api/v1/executions/{execution_id}/rows", "/api/v1/executions/none/rows", 404,
    )  # fmt: skip
    assert seen("curious") == (
        "POST /api/v1/monitors/{name}/run", "/api/v1/monitors/flights/run", 403,
    )  # fmt: skip


def test_an_operator_silences_but_declares_and_deletes_nothing_else(server, secrets, declare):
    silence = declare(
        "Silence", "op", alarm_names=["a"], ends_at="2026-02-01T00:00:00Z", comment="c",
        created_by="ana",
    )  # fmt: skip
    alarm = declare("Alarm", "a")
    headers = bearer(secrets["operator"])

    def apply(*resources):
        body = {"resources": list(resources)}
        return server.client.post("/api/v1/apply", json=body, headers=headers).status_code

    assert apply(silence) == 200
    assert apply(silence, alarm) == 403
    assert server.client.delete("/api/v1/silences/op", headers=headers).status_code == 204
    assert server.client.delete("/api/v1/alarms/a", headers=headers).status_code == 403


def test_secrets_reach_no_log(server, secrets, caplog):
    caplog.set_level("DEBUG")
    for secret in (*secrets.values(), FILE_SECRET, new_secret()):
        ask(server, "GET /api/v1/alarms", secret)
        ask(server, "POST /api/v1/erasures", secret)

    shown = json.dumps([record.getMessage() for record in caplog.records])
    assert not any(secret in shown for secret in (*secrets.values(), FILE_SECRET))


def test_the_tap_records_no_refused_request(server):
    spool = server.context.spool_dir
    before = sorted(file.stat().st_size for file in spool.rglob("*") if file.is_file())
    with httpx.Client(base_url=server.url) as client:
        answer = client.post("/endpoints/flights/invocations", content=b"1,2")
    after = sorted(file.stat().st_size for file in spool.rglob("*") if file.is_file())

    assert answer.status_code == 401
    assert before == after


def test_a_subject_has_its_requests_per_minute_and_invocations_apart(tmp_path):
    url = new_sqlite(tmp_path)
    engine = open_url(url)
    with engine.begin() as connection:
        busy, other = (
            create_token(connection, name, ["admin"], now=NOW, created_by="test")
            for name in ("busy", "other")
        )
    known = Authenticator(engine, lambda: NOW)
    with running(tmp_path, database=url, authenticator=known, requests_per_minute=3) as server:
        seen = [ask(server, "GET /api/v1/whoami", busy).status_code for _ in range(4)]
        refused = ask(server, "GET /api/v1/alarms", busy)

        assert seen == [200, 200, 200, 429]
        assert 0 < int(refused.headers["retry-after"]) <= 60
        message = server.error_of(refused)["message"]
        assert message.startswith('"busy" has used up [auth] requests_per_minute; come again in ')
        assert ask(server, "GET /api/v1/alarms", other).status_code == 200
        assert ask(server, INVOCATION, busy).status_code == 404  # Let in: there is none.
        assert {ask(server, "GET /healthz").status_code for _ in range(5)} == {200}
    engine.dispose()


def test_guesses_from_one_address_are_told_to_wait(tmp_path):
    url = new_sqlite(tmp_path)
    engine = open_url(url)
    known = knowing(engine, FILE_SECRET)
    with running(tmp_path, database=url, authenticator=known) as server:
        seen = [ask(server, "GET /api/v1/alarms", new_secret()) for _ in range(21)]

        assert [one.status_code for one in seen] == [401] * 20 + [429]
        assert 0 < int(seen[-1].headers["retry-after"]) <= 60
        assert ask(server, "GET /api/v1/alarms").status_code == 401
        assert ask(server, "GET /api/v1/alarms", FILE_SECRET).status_code == 200
    engine.dispose()


def _execution(server, identity, monitor, endpoint, **said):
    row = {
        "id": identity, "monitor": monitor, "kind": "data-quality", "endpoint": endpoint,
        "definition_version": 1, "baseline": "b", "baseline_version": "1",
        "window_start": NOW - timedelta(days=1), "window_end": NOW, "digest": "0",
        "status": "Completed", "is_current": True, "row_count": 1, "request_count": 1,
        "violation_count": 0, "page_count": 0, "cause": "", "folder": "", "started_at": NOW,
        "finished_at": NOW, **said,
    }  # fmt: skip
    with server.engine.begin() as connection:
        connection.execute(insert(executions).values(row))


def test_an_execution_is_of_the_endpoint_that_it_read(server):
    """A monitor may watch another endpoint later, or tables that have none."""
    _execution(server, "of-aa", "moved", "aa")
    _execution(server, "of-none", "tables", "")
    with server.engine.begin() as connection:
        secrets = {
            name: create_token(
                connection, f"for-{name}", ["analyst"], now=NOW, created_by="test",
                endpoints=[name],
            )
            for name in ("aa", "bb", "none")
        }  # fmt: skip

    def status(execution, name):
        return ask(server, f"GET /api/v1/executions/{execution}", secrets[name]).status_code

    assert [status("of-aa", name) for name in secrets] == [200, 403, 403]
    assert [status("of-none", name) for name in secrets] == [403, 403, 403]


def test_people_of_an_endpoint_read_no_names_and_no_past_of_others(server, declare, tmp_path):
    """Of what a monitor depends on, and of the windows that it judged for another endpoint."""
    file = tmp_path / "numbers.csv"
    file.write_text("\n".join(["x", *(str(number) for number in range(200))]))

    def monitor(name, endpoint, *others):
        spec = {"endpoint": endpoint, "baseline": "numbers", "depends_on": list(others)}
        spec["start"] = (NOW - timedelta(hours=5)).isoformat()
        return declare("Monitor", name, schedule="cron(0 * ? * * *)", **spec)

    def applied(*resources):
        body = {"resources": list(resources)}
        made = server.client.post("/api/v1/apply", json=body, headers=bearer(FILE_SECRET))
        assert made.status_code == 200, made.text

    applied(
        declare("Baseline", "numbers", data=str(file)),
        *(declare("Endpoint", name, baseline="numbers") for name in ("ours", "theirs")),
        monitor("secret-launch", "theirs"),
        monitor("own", "ours"),
        monitor("base", "ours"),
        monitor("late", "theirs"),
    )
    for day, endpoint, name in (
        (1, "theirs", "x"),
        (2, "ours", "own"),
        (3, "ours", "secret-launch"),
    ):
        why = f'not run: monitor "{name}" has Failed; backfill it, then this one'
        span = {
            "window_start": NOW - timedelta(days=day),
            "window_end": NOW - timedelta(days=day - 1),
        }
        _execution(server, f"{endpoint}-{day}", "late", endpoint, status="Failed",
                   failure_reason=why, **span)  # fmt: skip
        mark = Annotation("late", Window(*span.values()), "harmful", "bad", f"lee of {name}", NOW)
        with server.engine.begin() as connection:
            put_annotation(connection, mark)
    applied(
        monitor("late", "ours", "secret-launch", "own"), monitor("secret-launch", "theirs", "base")
    )
    with server.engine.begin() as connection:
        secret = create_token(
            connection, "ours", ["admin"], now=NOW, created_by="test", endpoints=["ours"]
        )

    def told(path):
        return ask(server, f"GET /api/v1/{path}", secret)

    listed = told("monitors/late/executions").json()["items"]
    shown = told("executions/ours-3").json()
    marks = told("monitors/late/marks").json()["items"]
    waiting = told("monitors/late/progress").json()
    deleted = ask(server, "DELETE /api/v1/monitors/base", secret)
    withdrawn = server.client.post(
        "/api/v1/monitors/late/marks/1/withdraw", json={"author": "ana"}, headers=bearer(secret)
    )
    everything = ask(server, "GET /api/v1/monitors/late/marks", FILE_SECRET).json()["items"]

    assert [one["failure_reason"].partition(" has")[0] for one in listed] == [
        'not run: monitor "own"',
        "not run: another monitor",
    ]
    assert "secret-launch" not in json.dumps([listed, shown, waiting])
    assert "secret-launch" not in told("executions/ours-3/report").text
    assert told("monitors/late").json()["spec"]["depends_on"] == ["another monitor", "own"]
    assert [one["waits_for"] for one in waiting["pending"]] == ["another monitor"]
    assert [one["author"] for one in marks] == ["lee of secret-launch", "lee of own"]
    assert len(everything) == 3
    assert (deleted.status_code, withdrawn.status_code) == (409, 404)
    assert "is needed by another monitor; delete" in deleted.text


def test_levels_of_features_take_the_role_analyst(server, secrets, declare, tmp_path):
    rows = [f"person{number % 40},{number}" for number in range(400)]
    file = tmp_path / "people.csv"
    file.write_text("\n".join(["name,age", *rows]))
    body = {"resources": [declare("Baseline", "people", data=str(file))]}
    made = server.client.post("/api/v1/apply", json=body, headers=bearer(FILE_SECRET))
    assert made.status_code == 200, made.text

    for path in ("/api/v1/baselines/people", "/api/v1/baselines"):
        assert "person7" not in ask(server, f"GET {path}", secrets["viewer"]).text
        assert "person7" in ask(server, f"GET {path}", secrets["analyst"]).text


def test_categories_of_models_take_the_role_analyst(server, secrets, declare, tmp_path):
    rows = pd.DataFrame({"name": pd.Categorical([f"person{number % 9}" for number in range(90)])})
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(rows, np.arange(90) % 2)
    model.booster_.save_model(tmp_path / "m.txt")
    body = {"resources": [declare("Model", "people", path=str(tmp_path / "m.txt"))]}
    made = server.client.post("/api/v1/apply", json=body, headers=bearer(FILE_SECRET))
    assert made.status_code == 200, made.text

    for path in ("/api/v1/models/people", "/api/v1/models"):
        assert "person7" not in ask(server, f"GET {path}", secrets["viewer"]).text
        assert "person7" in ask(server, f"GET {path}", secrets["analyst"]).text


@pytest.mark.parametrize("name", ["local", "Nobody"])
def test_a_token_takes_no_name_that_the_audit_log_has_for_others(server, name):
    body = {"name": name, "roles": ["viewer"]}
    answer = server.client.post("/api/v1/tokens", json=body, headers=bearer(FILE_SECRET))

    assert answer.status_code == 400
    assert "choose another name" in server.error_of(answer)["message"]
