import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.dashboard.address import (
    alarm_link,
    column_link,
    link_to,
    monitor_link,
    parse,
)


def test_root_is_the_overview():
    assert parse("/").page == "overview"


def test_link_of_a_pager_names_window_and_feature():
    found = parse("/monitors/flights", "?window=20131118T000000Z&feature=temp")

    assert (found.monitor, found.window, found.feature) == ("flights", "20131118T000000Z", "temp")


@pytest.mark.parametrize("path", ["/nope", "/monitors", "/monitors/", "/monitors/a/b", "//x"])
def test_other_paths_are_no_page(path):
    assert parse(path).page == "missing"


def test_alerts_as_the_bar_names_them_are_the_alarms():
    assert parse("/alerts", "?state=ALARM") == parse("/alarms", "?state=ALARM")
    assert parse("/alerts/cpu").alarm == "cpu"


def test_unknown_parameters_are_ignored():
    assert parse("/monitors/flights", "?tab=7&window=x").window == "x"


def test_absurdly_long_query_is_ignored():
    assert parse("/monitors/flights", "?feature=" + "a" * 100_000).feature is None


def test_very_many_parameters_are_ignored():
    many = "&".join(f"a{number}=1" for number in range(80))

    assert parse("/monitors/flights", f"?window=x&{many}").monitor == "flights"


def test_half_a_character_names_no_page():
    assert (
        parse("/monitors/\ud800").page == parse("/monitors/x", "?window=\ud800").page == "missing"
    )


def test_anchor_stands_last():
    link = monitor_link("flights", window="20131118T000000Z", feature="temp", anchor="rows")

    assert link == "/monitors/flights?window=20131118T000000Z&feature=temp#rows"


@given(st.text(min_size=1, max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_any_text_survives_a_link(monitor, window, feature):
    path, _, query = monitor_link(monitor, window=window or None, feature=feature).partition("?")

    found = parse(path, query)

    assert (found.monitor, found.window or "") == (monitor, window)
    assert (found.feature or "") == feature


@given(st.text(min_size=1, max_size=50))
def test_any_text_names_an_alarm_and_a_column(name):
    path, _, query = alarm_link(name).partition("?")
    assert (parse(path, query).page, parse(path, query).alarm) == ("alarm", name)

    path, _, query = column_link("flights", name, window="x").partition("?")
    found = parse(path, query)
    assert (found.page, found.monitor, found.feature) == ("column", "flights", name)
    assert found.window == "x"


@pytest.mark.parametrize("name", [".", ".."])
def test_names_that_browsers_take_for_folders_stay_out_of_the_path(name):
    assert alarm_link(name) == f"/alarms?name={name}"


def test_filters_of_the_alarms_are_in_the_query():
    found = parse("/alarms", link_to("alarms", state="ALARM", text="a&b=c").partition("?")[2])

    assert (found.page, found.state, found.text) == ("alarms", "ALARM", "a&b=c")


@pytest.mark.parametrize("path", ["/alarms/a/b", "/monitors/a/columns", "/monitors/a/columns/b/c"])
def test_paths_of_more_or_fewer_parts_are_no_page(path):
    assert parse(path).page == "missing"
