"""Every route by every role: read as a table."""

from typing import get_args

import httpx
import lightgbm
import numpy as np
import pandas as pd
import pytest

from driftline.access.credentials import Grant, Token, create
from driftline.access.principal import ROLES, Principal
from driftline.app.client.client import Client
from driftline.errors import InputError
from driftline.serving.operations.registry import OPERATIONS
from driftline.serving.operations.resources import Collection
from tests.capture.events.event_tools import attributes
from tests.serving.conftest import NOW, resource
from tests.serving.guarded import FILE_SECRET, bearer, guarded

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
SILENCE = {
    "alarm_names": ["a"], "ends_at": "2026-02-01T00:00:00Z", "comment": "c", "created_by": "ana",
}  # fmt: skip
INVOCATION = "POST /endpoints/{name}/invocations"
PAGES = dict.fromkeys(("GET /docs", "GET /openapi.json", "GET /ui/{path}"), "anyone")
ROUTES = PAGES | {key: one.role for key, one in OPERATIONS.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("access")) as found:
        yield found


@pytest.fixture(scope="module")
def secrets(server):
    return {role: _token(server, Grant(role, [role])) for role in ROLES}


def _token(server, grant):
    with server.engine.begin() as connection:
        _, secret = create(connection, Token, grant, now=NOW, created_by="test")
    return secret


def ask(server, action, secret=None, **headers):
    method, _, path = action.partition(" ")
    for name, value in SAMPLES.items():
        path = path.replace(f"{{{name}}}", value)
    if secret is not None:
        headers["authorization"] = f"Bearer {secret}"
    body = {"content": b"{}"} if method in ("POST", "PUT", "PATCH") else {}
    headers.setdefault("content-type", "application/json")
    return server.client.request(method, path, headers=headers, follow_redirects=False, **body)


@pytest.mark.parametrize("action", ROUTES)
def test_a_route_answers_its_role_and_refuses_all_others(server, secrets, action):
    needed, unknown = ROUTES[action], ask(server, action)
    assert (unknown.status_code == 401) != (action in ("GET /healthz", "GET /readyz"))
    for role in ROLES:
        allowed = needed == "anyone" or Principal("", frozenset({role})).may(needed)

        answer = ask(server, action, secrets[role])

        assert (answer.status_code == 403) == (not allowed), (role, answer.text)
        assert answer.status_code not in (401, 500), role


def test_events_are_taken_of_the_endpoints_of_a_token(server):
    secret = _token(server, Grant("one", ["admin"], ["Flights"]))
    event = attributes("churn")
    assert ask(server, "POST /v1/cloudevents", secret, **event).status_code == 403
    # As KServe's logger makes Basic authentication of a URL with a password.
    url, sent = f"{server.url}/v1/cloudevents?endpoint=", {"content": b"{}", "headers": event}
    shown = [httpx.post(url + name, auth=("one", secret), **sent) for name in ("flights", "churn")]
    assert [one.status_code for one in shown] == [200, 403]


def test_the_audit_log_shows_changes_reads_of_rows_and_refusals(server, secrets):
    curious = _token(server, Grant("curious", ["viewer"]))
    for comment in ("c", "d"):
        applied(server, resource("Silence", "night", **SILENCE | {"comment": comment}))
    ask(server, "DELETE /api/v1/silences/night", FILE_SECRET)
    ask(server, "GET /api/v1/executions/{execution_id}/rows", secrets["analyst"])
    for _ in range(3):
        ask(server, "POST /api/v1/monitors/{name}/run", curious)
    ask(server, "GET /api/v1/alarms", curious)
    with Client(server.url, token=FILE_SECRET) as client:
        noted = list(client.audit())

    night = [one for one in reversed(noted) if one["target"] == "Silence/night"]
    assert [one["action"] for one in night] == ["create", "update", "delete"]
    before, after = ([one[side] for one in night] for side in ("before", "after"))
    assert (before[0], after[2]) == (None, None)
    assert after[:2] == before[1:]
    told = [(one["target"], one["status"]) for one in noted if one["subject"] == "curious"]
    assert told == [("/api/v1/monitors/flights/run", 403)]
    (read,) = [one for one in noted if one["target"] == "/api/v1/executions/none/rows"][:1]
    assert (read["subject"], read["status"]) == ("analyst", 404)


def test_an_operator_silences_but_declares_and_deletes_nothing_else(server, secrets, declare):
    client, headers = server.client, bearer(secrets["operator"])
    silence, alarm = declare("Silence", "op", **SILENCE), declare("Alarm", "a")

    statuses = [
        client.post("/api/v1/apply", json={"resources": some}, headers=headers).status_code
        for some in ([silence], [silence, alarm])
    ]
    statuses += [
        client.delete(f"/api/v1/{one}", headers=headers).status_code
        for one in ("silences/op", "alarms/a")
    ]

    assert statuses == [200, 403, 204, 403]


def test_the_tap_records_no_refused_request(server):
    def sizes():
        spool = server.context.spool_dir
        return sorted(file.stat().st_size for file in spool.rglob("*") if file.is_file())

    before = sizes()

    assert ask(server, INVOCATION).status_code == 401
    assert sizes() == before


@pytest.fixture(scope="module")
def scoped(server):
    """Tokens for an endpoint that is not there yet, beside one that is."""
    signature = {"features": [{"name": "x", "column": "feature_x", "type": "double"}]}
    applied(server, resource("Endpoint", "theirs", signature=signature))
    return {role: _token(server, Grant(f"ours-{role}", [role], ["Ours"])) for role in ROLES}


def applied(server, *resources):
    with Client(server.url, token=FILE_SECRET) as client:
        client.apply(resources)


def _asked(action, name):
    """Return a request of a route about what is of an endpoint."""
    action = action.replace("{name}", name)
    return f"{action}?endpoint={name}" if action.endswith("/logs") else action


# What a token of some endpoints may ask for, if it has the role: what names one of them.
OF_ENDPOINTS = {"GET /api/v1/endpoints/{name}"} | {
    key for key, one in OPERATIONS.items() if one.of and "{collection}" not in key
}
# The event itself names its endpoint; other tests send some.
SCOPED = {
    action.replace("{collection}", of): role
    for action, role in ROUTES.items()
    for of in (get_args(Collection) if "{collection}" in action else [""])
    if "cloudevents" not in action
}


@pytest.mark.parametrize("action", SCOPED)
def test_a_token_of_some_endpoints_reads_and_does_nothing_of_others(server, scoped, action):
    needed = SCOPED[action]
    for role in ROLES:
        may = Principal("", frozenset({role})).may(needed) if needed != "anyone" else True
        ours, theirs = (
            ask(server, _asked(action, name), scoped[role]) for name in ("ours", "theirs")
        )

        is_open = needed == "anyone" or (may and action in OF_ENDPOINTS)
        assert (ours.status_code == 403) == (not is_open), (role, ours.text)
        assert (theirs.status_code == 403) == (needed != "anyone"), (role, theirs.text)
        assert ours.status_code not in (401, 500), role
        assert "theirs" not in ours.text


def test_values_of_the_reference_take_the_role_analyst(server, secrets, declare, tmp_path):
    """Levels of features, and the categories that a model keeps."""
    rows = pd.DataFrame({"name": pd.Categorical([f"person{number % 9}" for number in range(90)])})
    rows.to_csv(tmp_path / "people.csv", index=False)
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(rows, np.arange(90) % 2)
    model.booster_.save_model(tmp_path / "m.txt")
    applied(
        server,
        declare("Baseline", "people", data=str(tmp_path / "people.csv")),
        declare("Model", "people", path=str(tmp_path / "m.txt")),
    )

    for path in ("baselines/people", "baselines", "models/people", "models"):
        assert "person7" not in ask(server, f"GET /api/v1/{path}", secrets["viewer"]).text
        assert "person7" in ask(server, f"GET /api/v1/{path}", secrets["analyst"]).text


def test_why_a_resource_failed_takes_the_role_analyst(server, secrets, tmp_path, caplog):
    file = tmp_path / "asked.csv"
    file.write_text(
        "\n".join(["said,truth", *["alice@x.org,alice@x.org", "bob@y.org,bob@y.org"] * 99])
    )
    roles = {"label": "truth", "prediction": "said", "positive": "yes"}
    asked = [
        resource("Baseline", "asked", data=str(file), **roles),
        resource("Endpoint", "asked", baseline="asked"),
        resource("Monitor", "asked", endpoint="asked", baseline="asked", schedule="external"),
    ]

    with pytest.raises(InputError, match=r"bob@y\.org"):  # The command of who declares it.
        applied(server, *asked)

    shown = [f"/api/v1/{one}" for one in ("baselines", "endpoints", "monitors")]
    for path in (*shown, *(f"{one}/asked" for one in shown)):
        seen = {role: ask(server, f"GET {path}", secrets[role]).text for role in ROLES}
        assert "bob@y.org" in seen["analyst"]
        assert "bob@y.org" not in seen["viewer"] + seen["operator"], path
    unready = ask(server, "GET /api/v1/monitors/asked/progress", secrets["viewer"])
    assert (unready.status_code, "bob@y.org" in unready.text) == (409, False)
    assert "kind=Baseline name=asked event=failed error=InputError" in caplog.text
    assert "bob@y.org" not in caplog.text


USELESS = (
    {"name": "local"}, {"name": "Nobody"}, {"name": "a b"}, {"roles": []}, {"roles": ["root"]},
    {"endpoints": []}, {"expires_at": NOW.isoformat()},
)  # fmt: skip


def test_a_name_that_is_none_or_means_another_is_refused(server):
    made = {"name": "two", "roles": ["viewer"]}
    for method, path, body in (
        ("GET", "/api/v1/logs?endpoint=flights&Endpoint=other", None),
        ("POST", "/api/v1/tokens", made | {"Endpoints": ["flights"]}),
        *(("POST", "/api/v1/tokens", made | one) for one in USELESS),
        *(("POST", "/api/v1/access-keys", made | one) for one in USELESS),
        ("POST", "/api/v1/apply?dry_run=true", {"resources": []}),
        ("GET", "/api/v1/audit?from=2026", None),
    ):
        answer = server.client.request(method, path, json=body, headers=bearer(FILE_SECRET))

        assert answer.status_code == 400, answer.text
