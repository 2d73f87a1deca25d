import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from driftline.app.demo import flights, telling
from driftline.app.demo.receiver import Page

END = datetime(2026, 11, 18, tzinfo=UTC)
SHIFT = END - flights.YEAR_END
PAGE = Page(
    webhook_id="msg_1",
    alarm="flights: broken input",
    severity="page",
    state="ALARM",
    before="OK",
    cause='carrier: 6.0% of rows never seen in the reference, mostly "EDV"; temp: its values look '
    "like degrees Celsius in 35% of rows, all of them with origin EWR",
    link="http://127.0.0.1:8081/monitors/flights-data-quality?window=" + "x" * 80,
)


def _shown(page: Page, width: int = 60) -> list[str]:
    text = io.StringIO()
    telling.show_page(Console(file=text, width=width), page)
    return text.getvalue().splitlines()


def test_a_cause_wraps_below_its_alarm_and_the_link_stays_whole() -> None:
    first, *cause, link = _shown(PAGE)

    assert first == "PAGE    flights: broken input"
    assert len(cause) > 2
    assert all(len(line) <= 60 and line.startswith(" " * 8) for line in cause)
    assert " ".join(line.strip() for line in cause) == PAGE.cause
    assert link == " " * 8 + PAGE.link


def test_a_first_judgement_does_not_read_as_if_something_had_been_broken() -> None:
    first = replace(PAGE, state="OK", before="INSUFFICIENT_DATA")

    assert _shown(first, 80) == [
        "OK      flights: broken input (its first judgement: nothing is wrong)"
    ]
    assert _shown(replace(first, before="ALARM")) == ["OK      flights: broken input"]


@pytest.mark.parametrize(
    ("end", "days", "said"),
    [
        (END, 60, "planted fault: 18-22 November of the real year, here 5-9 October 2026: EWR "),
        (END, 42, "here 5-9 October 2026 (replayed: 7-9 October 2026): EWR "),
        (END, 40, "(replayed: 9 October 2026): EWR "),
        (END, 30, "no planted fault: its days (18-22 November of the real year, here 5-9 October"),
        (datetime(2026, 12, 9, tzinfo=UTC), 60, "here 26-30 October 2026: "),
        (datetime(2026, 12, 16, tzinfo=UTC), 60, "here 2-6 November 2026: "),
        (datetime(2026, 9, 9, tzinfo=UTC), 60, "here 27-31 July 2026: "),
        (datetime(2026, 7, 15, tzinfo=UTC), 60, "here 1-5 June 2026: "),
        (datetime(2026, 8, 12, tzinfo=UTC), 60, "here 29 June - 3 July 2026: "),
        (datetime(2027, 2, 10, tzinfo=UTC), 60, "here 28 December 2026 - 1 January 2027: "),
    ],
)
def test_the_faulty_days_are_named_in_both_calendars(end: datetime, days: int, said: str) -> None:
    assert said in telling.fault(end - flights.YEAR_END, end - timedelta(days=days))


def test_the_weather_that_the_data_package_lacks_is_explained() -> None:
    year = flights.load(END)

    said = telling.missing_weather(year.between(END - timedelta(days=3), END), END)
    earlier = END - timedelta(days=1)

    assert "the last day, 17 November 2026, is real and not planted" in said
    assert (
        telling.missing_weather(year.between(earlier - timedelta(days=1), earlier), earlier) == ""
    )


def test_how_to_look_on_can_be_copied() -> None:
    said = telling.look_on(Path("/a folder/driftline.toml"), "http://127.0.0.1:8081")

    assert said == "look on: driftline up -c '/a folder/driftline.toml', then http://127.0.0.1:8081"
