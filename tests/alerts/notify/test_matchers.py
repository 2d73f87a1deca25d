"""Matchers mean what Alertmanager's do."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import SilenceError
from driftline.alerts.notify.silence import Matcher, matches

LABELS = {"alarm": "drift-flights", "endpoint": "flights", "severity": "page", "team": "ml\nops"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("endpoint=flights", True),
        ("endpoint = flights", True),
        ('endpoint="flights"', True),
        ("endpoint=Flights", False),
        ("endpoint!=flights", False),
        ("endpoint!=cargo", True),
        ("alarm=~drift.*", True),
        # The whole value, as there.
        ("alarm=~drift", False),
        ("alarm=~rift", False),
        ("alarm!~drift", True),
        ("alarm=~drift|drift-flights", True),
        ("severity=~page|ticket", True),
        # What is not there is an empty text.
        ("variant=", True),
        ("variant!=a", True),
        ("variant=~.+", False),
        ("team=~ml.*", False),
        ("team=~(?s)ml.*", True),
        ('alarm="a=~b"', False),
    ],
)
def test_a_matcher_fits_as_in_alertmanager(text, fits):
    assert Matcher.parse(text).fits(LABELS) is fits


@pytest.mark.parametrize("text", ["", "endpoint", "=flights", "alarm=~(", "alarm=~[a", "a=~*"])
def test_what_is_no_matcher_is_refused(text):
    with pytest.raises(SilenceError, match="expected"):
        Matcher.parse(text)


def test_all_matchers_of_a_silence_must_fit():
    both = [Matcher.parse("endpoint=flights"), Matcher.parse("severity=ticket")]
    assert not matches(both, LABELS)
    assert matches(both[:1], LABELS)


def test_no_expression_keeps_the_evaluator_busy():
    matcher = Matcher.parse("alarm=~(a+)+b")
    began = time.process_time()
    assert not matcher.fits({"alarm": "a" * 255})
    assert time.process_time() - began < 1.0


@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=50))
def test_a_quoted_value_is_read_back(value):
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    matcher = Matcher.parse(f'name="{escaped}"')
    assert matcher.fits({"name": value})


@given(value=st.from_regex(r"[a-z.+*()|\[\]-]{0,20}", fullmatch=True))
def test_an_escaped_text_matches_itself_only(value):
    matcher = Matcher("name", "=~", re.escape(value))
    assert matcher.fits({"name": value})
    assert not matcher.fits({"name": value + "x"})
