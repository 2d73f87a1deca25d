"""The page of the audit log: for admins alone, narrowed by its address."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from driftline.access.audit import record
from driftline.access.principal import ANYBODY, Principal
from driftline.dashboard.address import link_to, parse
from tests.dashboard.guarded import guarded
from tests.dashboard.test_http import CALL, body_for

THEN = datetime(2026, 1, 10, 23, 59, tzinfo=UTC)
ANA, BEN = (Principal(name, frozenset({"admin"})) for name in ("ana", "<b>ben"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with guarded(tmp_path_factory.mktemp("guarded")) as found:
        with found.engine.begin() as connection:
            spec = {"spec": {"threshold": 1, "statistic": "p90"}}
            record(connection, "create", "Alarm/late", THEN, after=spec, principal=ANA)
            record(
                connection, "update", "Alarm/late", THEN + timedelta(minutes=2), principal=BEN,
                before=spec, after={"spec": {"threshold": 2, "statistic": "p90"}},
            )  # fmt: skip
            record(connection, "GET /rows", "/rows", THEN, status=403, principal=BEN)
            record(connection, "create", "Alarm/open", THEN, principal=ANYBODY)
        yield found


def shown(site, role, **chosen):
    path, _, query = link_to("audit", **chosen).partition("?")
    with site.browser(site.tokens[role]) as browser:
        answer = browser.post(CALL, json=body_for(path, f"?{query}" if query else ""))
    return json.dumps(answer.json(), ensure_ascii=False)


def links(site, role, path):
    """Return where the links of a page lead."""
    with site.browser(site.tokens[role]) as browser:
        return re.findall(
            '"href": "([^"]*)"', json.dumps(browser.post(CALL, json=body_for(path)).json())
        )


def test_an_admin_sees_who_changed_which_field(site):
    text = shown(site, "admin", target="Alarm/late")

    assert "spec.threshold: 1 -> 2" in text
    assert "spec.statistic" in text[text.index("create ") :]
    assert "spec.statistic" not in text[text.index("update ") : text.index("create ")]
    assert "403" not in text


def test_who_changed_it_where_nobody_logs_in_is_said_without_a_way_of_logging_in(site):
    text = shown(site, "admin", target="Alarm/open")

    assert "without a log-in" in text
    assert "by off" not in text


def test_names_and_days_lead_to_what_is_about_them(site):
    of_ben, of_day = shown(site, "admin", subject="<b>ben"), shown(site, "admin", day="2026-01-10")

    assert "GET /rows" in of_ben
    assert "create " not in of_ben
    assert "create " in of_day
    assert "update " not in of_day
    assert link_to("audit", subject="<b>ben") in of_day


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator"])
def test_others_see_no_entry_and_no_link_to_it(site, role):
    text = shown(site, role)

    assert "This takes the role admin" in text
    assert "Alarm/late" not in text
    assert not [href for href in links(site, role, "/setup") if href == "/audit"]
    assert "/audit" in links(site, "admin", "/setup")


@pytest.mark.parametrize("day", ["today", "9999-12-31"])
def test_a_day_that_is_none_is_said_on_the_page(site, day):
    assert "expected one such as 2026-01-31" in shown(site, "admin", day=day)


def test_an_address_of_the_audit_log_is_read_as_it_is_built():
    path, _, query = link_to(
        "audit", subject="a b", target="Alarm/x&y", day="2026-01-10"
    ).partition("?")
    found = parse(path, query)

    assert (found.page, found.subject, found.target, found.day) == (
        "audit", "a b", "Alarm/x&y", "2026-01-10",
    )  # fmt: skip
