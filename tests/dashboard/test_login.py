"""Who comes in to the pages, by what, for how long; attacks on that are read as tables."""

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import create_engine
from starlette.responses import Response

from driftline.access.authentication import COOKIE
from driftline.access.credentials import Token, revoke
from driftline.access.principal import (
    ROLES,
    Principal,
    TrustedProxy,
    read_group_roles,
    read_networks,
)
from driftline.access.tokens import csrf_token, digest_of, new_secret
from driftline.alerts.notify.silences import list_silences
from driftline.dashboard.downloads import Downloads
from driftline.dashboard.login import PUBLIC, WRONG, own_path, set_session
from driftline.errors import ForbiddenError, UnavailableError
from tests.dashboard.guarded import (
    ALARM,
    FILE_SECRET,
    LAYOUT,
    PAGE,
    SESSION_H,
    SILENCE,
    act,
    csrf_of,
    guarded,
    session_of,
)
from tests.dashboard.test_http import CALL, body_for
from tests.serving.conftest import NOW

SUITE = "/_dash-component-suites/dash/deps/polyfill@7.js"
PAGES = ["/", "/docs", "/alarms", "/alarms/x", "/messages", "/silences",
         "/monitors/m", "/monitors/m/columns/c", "/nothing", "/rows.csv?monitor=m",
         "/logout"]  # fmt: skip
ACTIONS = ["silence", "expire", "redeliver", "switch", "mark", "unmark", "accept", "rebase"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture
def stranger(site):
    with httpx.Client(base_url=site.url, headers=PAGE) as found:
        yield found


@pytest.fixture(scope="module")
def viewer(site):
    with site.browser(site.tokens["viewer"]) as found:
        yield found


@pytest.fixture(scope="module")
def operator(site):
    with site.browser(site.tokens["operator"]) as found:
        yield found


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_a_stranger_to_the_login_and_back(stranger, path):
    answer = stranger.get(path)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={quote(path, safe='')}"
    assert answer.text == ""


@pytest.mark.parametrize("path", [LAYOUT, "/_dash-dependencies", SUITE, "/assets/pages.js"])
def test_parts_of_pages_are_refused_to_a_stranger(stranger, path):
    answer = stranger.get(path, headers={"accept": "*/*"})

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("path", "body"),
    [(CALL, body_for("/")), ("/logout", {}), *((f"/actions/{name}", {}) for name in ACTIONS)],
)
def test_calls_are_refused_to_a_stranger(stranger, path, body):
    assert stranger.post(path, json=body).status_code == 401


@pytest.mark.parametrize("path", [*PUBLIC, "/login"])
def test_what_the_login_needs_is_for_everybody(stranger, path):
    assert stranger.get(path).status_code == 200


def test_the_page_to_log_in_lets_only_own_files_run_and_posts_only_here(stranger):
    headers = stranger.get("/login?next=/alarms").headers

    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_a_form_without_scripts_logs_in_and_leads_on(site, stranger):
    given = {"token": f" {site.tokens['viewer']}\n", "next": "/alarms?state=ALARM"}
    answer = stranger.post("/login", data=given)

    assert (answer.status_code, answer.headers["location"]) == (303, given["next"])
    cookie = answer.headers["set-cookie"]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        "httponly", "samesite=lax", "path=/", f"max-age={SESSION_H * 3600}",
    }  # fmt: skip
    assert stranger.get("/alarms").status_code == 200


@pytest.mark.parametrize(("is_https", "scheme"), [(False, "https"), (True, "http")])
def test_a_cookie_of_https_is_never_sent_otherwise(site, is_https, scheme):
    answer = Response()
    set_session(replace(site.access, is_https=is_https), answer, {"scheme": scheme}, "x")

    assert answer.headers["set-cookie"].endswith("; Secure")


def _revoked(site):
    secret = site.token("gone", ["admin"])
    with site.engine.begin() as connection:
        revoke(connection, Token, "gone", NOW)
    return secret


def _session(site):
    with site.browser(site.tokens["admin"]) as browser:
        return session_of(browser)


# name → what is shown as a token; none may be let in.
WRONG_TOKENS = {
    "nothing": lambda _: "",
    "no text": lambda _: None,
    "a list": lambda _: [FILE_SECRET],
    "the secret but for its last letter": lambda _: FILE_SECRET[:-1],
    "another installation's token": lambda _: new_secret(),
    "a quote for the database": lambda _: "' OR '1'='1",
    "half of a character": lambda _: "\ud800",
    "a letter that is not ASCII": lambda _: FILE_SECRET[:-1] + "ä",
    "a long text": lambda _: "x" * 5_000,
    "the digest in place of the secret": lambda _: digest_of(FILE_SECRET),
    "a revoked token": _revoked,
    "a session, which would then never end": _session,
}


@pytest.mark.parametrize("attack", WRONG_TOKENS)
def test_a_wrong_token_lets_nobody_in(site, stranger, attack):
    body = json.dumps({"token": WRONG_TOKENS[attack](site)})
    answer = stranger.post("/login", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (401, WRONG)
    assert "set-cookie" not in answer.headers


def test_the_form_says_what_is_wrong_and_keeps_where_to_go(site, stranger):
    answer = stranger.post("/login", data={"token": "<b>", "next": '/a?"><script>'})

    assert answer.status_code == 401
    assert WRONG in answer.text
    assert 'value="/a?&quot;&gt;&lt;script&gt;"' in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize(
    "role, status",
    [("viewer", 200), ("analyst", 200), ("operator", 200), ("admin", 200), ("invoke", 403),
     ("ingest", 403)],
)  # fmt: skip
def test_the_pages_take_the_role_viewer(site, stranger, role, status):
    answer = stranger.post("/login", json={"token": site.tokens[role]})

    assert answer.status_code == status
    assert (COOKIE in stranger.cookies) == (status == 200)


@pytest.mark.parametrize("role", ROLES)
def test_the_pages_are_not_for_a_token_of_some_endpoints(site, stranger, role):
    """Whatever it asks for, the log-in and its own header included, it reads one sentence."""
    secret = site.token(f"one {role}".replace(" ", "-"), [role], endpoints=["flights"])
    bearer = {"authorization": f"Bearer {secret}"}

    begun = stranger.post("/login", json={"token": secret})
    asked = [begun, *(stranger.get(path, headers=bearer) for path in (*PAGES[:-1], LAYOUT, SUITE))]
    asked.append(stranger.post(CALL, json=body_for("/"), headers=bearer))
    asked += [stranger.post(f"/actions/{one}", json={}, headers=bearer) for one in ACTIONS]

    assert {one.status_code for one in asked} == {403}
    assert COOKIE not in stranger.cookies
    assert not [one for one in asked if ALARM in one.text]
    if Principal("", frozenset({role})).may("viewer"):
        assert "is for flights only, and the pages are about all endpoints" in begun.text


# name → where the log-in is asked to lead.
ELSEWHERE = {
    "two slashes": "//evil.example",
    "a scheme": "https://evil.example",
    "a backslash": "/\\evil.example",
    "a backslash within": "/a\\..\\evil",
    "a tab that browsers drop": "/\t/evil.example",
    "a line end": "/\r\nset-cookie: a=b",
    "a scheme of scripts": "javascript:alert(1)",
    "no slash": "evil.example",
    "a space before": " //evil.example",
    "nothing": "",
    "a letter that is not ASCII": "/ä",
    "an endless path": "/" + "x" * 5_000,
}


@pytest.mark.parametrize("attack", ELSEWHERE)
def test_the_login_leads_to_own_pages_only(site, attack):
    with site.browser() as browser:
        given = {"token": site.tokens["viewer"], "next": ELSEWHERE[attack]}
        by_form, by_script = browser.post("/login", data=given), browser.post("/login", json=given)

    assert own_path(ELSEWHERE[attack]) == "/"
    assert by_form.headers["location"] == "/"
    assert by_script.json() == {"next": "/"}


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
     {"sec-fetch-site": "same-site"}, {"host": "rebound.example"}],
)  # fmt: skip
def test_no_page_of_others_logs_anybody_in_or_out(site, operator, headers):
    body = {"token": site.tokens["viewer"]}
    headers = {**headers, "x-csrf-token": csrf_of(operator)}

    assert operator.post("/login", data=body, headers=headers).status_code == 403
    assert operator.post("/logout", json={}, headers=headers).status_code == 403
    assert operator.post("/actions/silence", json=SILENCE, headers=headers).status_code == 403


# name → the cookie that a browser shows; none may be let in.
COOKIES = {
    "a guess": lambda _: new_secret(),
    "nothing": lambda _: "",
    "a session that has ended": lambda site: _ended(site),
    "the digest of a session": lambda site: digest_of(_session(site)),
    "a session whose token was revoked": lambda site: _of_revoked(site),
    "two cookies, the second one good": lambda site: f'x"; {COOKIE}={_session(site)[:-1]}',
}


def _ended(site):
    with site.browser(site.tokens["admin"]) as browser:
        secret = session_of(browser)
        answer = browser.post("/logout", json={}, headers={"x-csrf-token": csrf_of(browser)})
        assert answer.status_code == 200
        assert COOKIE not in browser.cookies
    return secret


def _of_revoked(site):
    with site.browser(site.token("leaver", ["admin"])) as browser:
        secret = session_of(browser)
    with site.engine.begin() as connection:
        revoke(connection, Token, "leaver", NOW)
    site.access.authenticator.forget()
    return secret


@pytest.mark.parametrize("attack", COOKIES)
def test_a_forged_cookie_lets_nobody_in(site, stranger, attack):
    headers = {"cookie": f"{COOKIE}={COOKIES[attack](site)}"}

    assert stranger.get("/", headers=headers).status_code == 303
    assert stranger.post(CALL, json=body_for("/"), headers=headers).status_code == 401


@pytest.mark.parametrize(
    "others", ['prefs={"a":1}; ', "x[y]=1; ", "a,b=1; ", '"; ', "; ;", "ä=ö; ", "no value;"]
)
def test_cookies_of_other_pages_of_the_host_keep_nobody_out(site, stranger, others):
    header = f"{others}{COOKIE}={_session(site)}; more[]=2"

    assert stranger.get("/", headers={"cookie": header.encode()}).status_code == 200


def test_a_session_ends_by_itself(site, stranger):
    stranger.post("/login", json={"token": site.tokens["viewer"]})
    headers = {"cookie": f"{COOKIE}={session_of(stranger)}"}
    assert stranger.get("/", headers=headers).status_code == 200

    site.access.authenticator.forget()
    site.clock.time = NOW + timedelta(hours=SESSION_H)
    try:
        assert stranger.get("/", headers=headers).status_code == 303
    finally:
        site.clock.time = NOW


def test_each_login_is_a_new_session_and_ends_the_one_before(site, stranger):
    stranger.cookies.set(COOKIE, "planted", domain="127.0.0.1")
    stranger.post("/login", json={"token": site.tokens["viewer"]})
    first = stranger.cookies.get(COOKIE, domain="127.0.0.1", path="/")
    stranger.post("/login", json={"token": site.tokens["operator"]})
    second = stranger.cookies.get(COOKIE, domain="127.0.0.1", path="/")
    site.access.authenticator.forget()

    assert len({"planted", first, second}) == 3
    for secret, status in (("planted", 303), (first, 303), (second, 200)):
        with site.browser() as browser:
            headers = {"cookie": f"{COOKIE}={secret}"}
            assert browser.get("/", headers=headers).status_code == status


# name → the X-CSRF-Token of a change, given the browser and the site; None: none.
FORGED = {
    "none": lambda *_: None,
    "an empty one": lambda *_: "",
    "a guess": lambda *_: "0" * 64,
    "another session's": lambda _, site: csrf_token(_session(site)),
    "that of nobody": lambda *_: csrf_token(""),
    "the session itself": lambda browser, _: session_of(browser),
}


@pytest.mark.parametrize("attack", FORGED)
@pytest.mark.parametrize("path", ["/actions/silence", "/logout"])
def test_a_change_without_the_token_of_its_page_is_refused(site, operator, path, attack):
    shown = FORGED[attack](operator, site)
    headers = {} if shown is None else {"x-csrf-token": shown}

    assert operator.post(path, json=SILENCE, headers=headers).status_code == 403
    assert operator.get("/").status_code == 200
    with site.engine.connect() as connection:
        assert all(one.silence.comment != "c" for one in list_silences(connection, site.now()))


def test_what_a_form_of_another_page_can_send_is_no_change(operator):
    headers = {"x-csrf-token": csrf_of(operator), "content-type": "text/plain"}

    assert operator.post("/actions/expire", content=b"{}", headers=headers).status_code == 415


def test_a_change_is_made_and_noted_as_the_person(site):
    with site.browser(site.token("ana", ["operator"])) as browser:
        answer = act(browser, "silence", {**SILENCE, "comment": "mine"})
        assert answer.status_code == 200, answer.text

    with site.engine.connect() as connection:
        (found,) = (one for one in list_silences(connection, site.now())
                    if one.silence.comment == "mine")  # fmt: skip
    assert found.silence.created_by == "ana"
    newest = site.audit(subject="ana")
    assert [(one["via"], one["action"]) for one in newest] == [
        ("session", "create"), ("token", "login"),
    ]  # fmt: skip
    assert newest[0]["target"] == f"Silence/{found.silence.name}"


def test_a_change_takes_the_role_of_the_person(site, viewer):
    answer = act(viewer, "silence", SILENCE)

    assert answer.status_code == 403
    assert "this takes the role operator" in answer.json()["error"]["message"]
    assert site.audit(subject="viewer", limit=1)[0]["status"] == 403


def test_a_token_may_be_shown_in_place_of_a_session(site, stranger):
    headers = {"authorization": f"Bearer {site.tokens['operator']}"}
    stranger.headers.update(headers)

    assert stranger.get("/alarms").status_code == 200
    assert stranger.post("/actions/expire", json={"name": "x"}).status_code == 403
    answer = act(stranger, "switch", {"alarm": ALARM, "enabled": "true"})
    assert answer.status_code == 200, answer.text


def test_the_bar_on_top_names_the_person_and_no_answer_is_kept(viewer):
    answer = viewer.get(LAYOUT)

    assert '"children":"viewer"' in answer.text
    assert '"title":"viewer: viewer"' in answer.text
    for path in (LAYOUT, "/", "/_dash-dependencies"):
        assert viewer.get(path).headers["cache-control"] == "no-store"
    assert "no-store" not in viewer.get("/assets/pages.js").headers.get("cache-control", "")


def test_the_programming_interface_is_shown_to_who_is_logged_in_and_nothing_runs_there(viewer):
    page, document = viewer.get("/docs"), viewer.get("/openapi.json")

    assert "<h1>driftline: programming interface</h1>" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    assert page.headers["cache-control"] == "no-store"
    assert "/api/v1/whoami" in document.json()["paths"]
    assert '"children":"API"' in viewer.get(LAYOUT).text


@pytest.mark.parametrize(
    ("error", "status"), [(UnavailableError("no server"), 503), (ForbiddenError("not you"), 403)]
)
def test_a_server_that_does_not_show_its_interface_is_said_in_a_sentence(error, status):
    def ask(_path):
        raise error

    async def asked():
        transport = httpx.ASGITransport(
            Downloads(Response(status_code=404), SimpleNamespace(ask=ask))
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
            return await browser.get("/docs"), await browser.get("/")

    with ThreadPoolExecutor(1) as pool:  # The browser may hold the event loop of this thread.
        refused, passed = pool.submit(lambda: asyncio.run(asked())).result()

    assert (refused.status_code, refused.json()["error"]["message"]) == (status, str(error))
    assert passed.status_code == 404


def test_secrets_reach_no_log(site, caplog):
    caplog.set_level("DEBUG")
    with site.browser(site.tokens["operator"]) as browser:
        secret = session_of(browser)
        browser.get("/alarms?x=1")
        browser.get("/docs")
        act(browser, "expire", {"name": "nothing"})

    own = [one for one in caplog.records if not one.name.startswith(("httpx", "httpcore"))]
    shown = " ".join(record.getMessage() for record in own)
    assert own
    assert not any(one in shown for one in (secret, site.tokens["operator"], csrf_token(secret)))


# name → the database as it takes no changes, given the file; each is one that can be read.
UNWRITABLE = {
    "away": lambda file: f"{file}.away/driftline.db",
    "read-only": lambda file: f"file:{file}?mode=ro&uri=true",
    "locked": lambda file: file,
}


@contextmanager
def unwritable(site, state):
    """Let a site's database refuse all changes for a while."""
    file, usual = site.engine.url.database, site.access.writer
    engine = create_engine(f"sqlite:///{UNWRITABLE[state](file)}", connect_args={"timeout": 0})
    object.__setattr__(site.access, "writer", engine)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE" if state == "locked" else "SELECT 1")
        yield
    object.__setattr__(site.access, "writer", usual)
    engine.dispose()


@pytest.mark.parametrize("state", UNWRITABLE)
def test_a_database_that_takes_no_changes_is_said_in_a_sentence(site, stranger, viewer, state):
    token, csrf = site.tokens["viewer"], csrf_of(viewer)
    with unwritable(site, state):
        by_form = stranger.post("/login", data={"token": token})
        by_script = stranger.post("/login", json={"token": token})
        out = viewer.post("/logout", json={}, headers={"x-csrf-token": csrf})
        page = viewer.get("/alarms")

    assert (by_form.status_code, by_script.status_code, out.status_code) == (503, 503, 503)
    assert "Not logged in: the database takes no changes now; try again." in by_form.text
    assert '<form id="login"' in by_form.text
    assert by_script.json()["error"]["code"] == out.json()["error"]["code"] == "unavailable"
    assert COOKIE not in stranger.cookies
    assert (page.status_code, viewer.get("/").status_code) == (200, 200)


@pytest.mark.parametrize("state", UNWRITABLE)
def test_the_first_page_behind_a_proxy_says_that_the_database_takes_no_changes(proxied, state):
    with proxied.browser() as browser:
        browser.headers.update(by_proxy("dan", "staff"))
        with unwritable(proxied, state):
            answer = browser.get("/")
        again = browser.get("/")

    assert answer.status_code == 503
    assert "<p>The database takes no changes now; try again.</p>" in answer.text
    assert "Log in as another" not in answer.text
    assert again.status_code == 200


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """Pages behind a proxy of this machine, which has found out who asks."""
    proxy = TrustedProxy(
        read_networks(["127.0.0.0/8"]), "p" * 43,
        read_group_roles(["staff=viewer", "on-call=operator"]),
    )  # fmt: skip
    with guarded(tmp_path_factory.mktemp("proxied"), proxy=proxy) as found:
        yield found


def by_proxy(user, groups):
    return {
        "x-driftline-proxy-secret": "p" * 43, "x-forwarded-user": user,
        "x-forwarded-groups": groups,
    }  # fmt: skip


def test_whom_a_proxy_names_has_a_session_from_the_first_page_on(proxied):
    with proxied.browser() as browser:
        browser.headers.update(by_proxy("ana", "on-call"))
        assert browser.get("/").status_code == 200
        first = session_of(browser)
        assert browser.get("/alarms").status_code == 200
        answer = act(browser, "silence", {**SILENCE, "comment": "by proxy"})

        assert answer.status_code == 200, answer.text
        assert session_of(browser) == first
        assert "Log out" not in browser.get(LAYOUT).text
    assert [(one["via"], one["action"]) for one in proxied.audit(subject="ana")] == [
        ("session", "create"), ("proxy", "login"),
    ]  # fmt: skip


def test_another_person_or_other_groups_behind_a_proxy_are_another_session(proxied):
    with proxied.browser() as browser:
        seen = []
        for user, groups in (("bo", "on-call"), ("bo", "staff"), ("cy", "staff"), ("cy", "staff")):
            browser.headers.update(by_proxy(user, groups))
            assert browser.get("/").status_code == 200
            seen.append(session_of(browser))
        answer = act(browser, "silence", SILENCE)

    assert len(set(seen)) == 3
    assert seen[2] == seen[3]
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"x-forwarded-groups": "guests"}, 403), ({"x-driftline-proxy-secret": "q" * 43}, 303),
     ({"x-driftline-proxy-secret": ""}, 303)],
)  # fmt: skip
def test_who_is_in_no_group_or_comes_past_the_proxy_sees_no_page(proxied, headers, status):
    with proxied.browser() as browser:
        browser.headers.update({**by_proxy("eve", "on-call"), **headers})

        assert browser.get("/").status_code == status
        assert COOKIE not in browser.cookies
