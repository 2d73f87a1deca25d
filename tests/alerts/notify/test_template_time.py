"""Templates come to an end in time, whatever stands in them."""

from __future__ import annotations

import time

import pytest

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.templates import TemplateFailed, check_template, render_template

LONG = {"text": "ab" * 9_000, "rows": list(range(200))}


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% for a in [1, 2, 3] %}x{% endfor %}",
        "{% set a = 1 %}",
        "{{ 'a' * 99999 ~ 'b' }}",
    ],
)
def test_what_makes_much_of_little_is_refused_when_it_is_declared(text):
    with pytest.raises(ChannelError, match=r"not let through; expected output, if, for"):
        check_template('channel "c"', text)


NESTED = "{% for a in rows %}{% for b in rows %}" + "{}" + "{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    "text",
    [
        NESTED.replace("{}", '{% if "bb" in text %}{% endif %}' * 150),
        NESTED.replace("{}", "{% if (text | upper | lower) == 1 %}{% endif %}" * 150),
        NESTED.replace("{}", "{% if text | tojson in rows %}{% endif %}" * 150),
        "{% for a in text %}{% if text < text | upper %}{% endif %}{% endfor %}",
    ],
    ids=["in", "filters", "documents", "letters"],
)
def test_a_template_is_cut_off_by_its_steps_or_its_time(text):
    check_template('channel "c"', text)
    start = time.thread_time()

    try:
        render_template(text, LONG)
    except TemplateFailed as error:
        assert "rounds of its loops" in str(error) or "s of computing" in str(error)

    assert time.thread_time() - start < 2.0
