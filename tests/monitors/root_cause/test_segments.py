"""Which segment is named behind a planted change, and that none is where none is behind it.

Faults are planted in windows of independent rows; what must be named is known by construction.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.root_cause import row_sample
from tests.monitors.root_cause.hotels import ROWS, hotels, named, place

NOT_NARROWED = "cannot be narrowed down to a segment"


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(hotels(np.random.default_rng(1), ROWS))


def test_a_segment_that_always_had_it_is_not_named_when_another_changes(
    reference: Baseline,
) -> None:
    """The resort holds most rows without children, and none of the increase."""
    rng = np.random.default_rng(7)
    rows = hotels(rng, 4_000)
    rows.loc[(rows.hotel == "city") & (rng.random(4_000) < 0.1), "children"] = np.nan

    report = check(rows, reference)

    assert place(report, "children") is not None
    assert place(report, "children").words == 'hotel = "city"'
    assert " there), nothing changed elsewhere" in named(report, "children").cause
    resort = rows[rows.hotel == "resort"].children.isna().mean()
    change = place(report, "children").change
    assert change.now_elsewhere == pytest.approx(resort)
    assert change.before_elsewhere == pytest.approx(0.3, abs=0.02)


def test_what_grew_everywhere_is_in_no_segment(reference: Baseline) -> None:
    rng = np.random.default_rng(8)
    rows = hotels(rng, 4_000)
    rows.loc[rng.random(4_000) < 0.12, "children"] = np.nan

    report = check(rows, reference)

    assert place(report, "children") is None
    assert named(report, "children").cause.endswith(NOT_NARROWED)


def test_a_segment_that_follows_from_the_column_is_no_explanation(reference: Baseline) -> None:
    """Agent 250 sells directly, and nobody else does: that holds whatever else happens."""
    rng = np.random.default_rng(10)
    rows = hotels(rng, 4_000)
    more = rng.random(4_000) < 0.2
    rows.loc[more, "channel"], rows.loc[more, "agent"] = "direct", "250"

    found = check(rows, reference)

    for feature, other in (("channel", "agent"), ("agent", "channel")):
        segment = place(found, feature)
        assert segment is None or other not in {one.column for one in segment.conditions}


@pytest.mark.parametrize("seed", range(3))
def test_two_conditions_are_named_with_their_shares_on_all_rows(
    reference: Baseline, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_sample, "ROWS_MAX", 3_000)
    rows = hotels(np.random.default_rng([16, seed]), 9_001)
    inside = (rows.hotel == "resort") & (rows.partner == "d")
    rows.loc[inside, "lead"] = np.nan

    found = place(check(rows, reference), "lead")

    assert found.words == 'hotel = "resort" and partner = "d"'
    assert found.share_of_rows == inside.mean()
    assert found.share_of_culprits == 1.0


def test_without_a_sample_only_what_the_reference_never_had_is_placed(
    reference: Baseline,
) -> None:
    """Baselines of older versions and SageMaker's folders hold no rows."""
    older = replace(reference, rows=None)
    rng = np.random.default_rng(18)
    rows = hotels(rng, 4_000)
    rows.loc[rows.partner == "c", "meal"] = "ZZ"
    rows.loc[(rows.hotel == "city") & (rng.random(4_000) < 0.2), "children"] = np.nan

    report = check(rows, older)

    assert place(report, "meal").words == 'partner = "c"'
    assert place(report, "children") is None
    assert named(report, "children").cause.endswith(NOT_NARROWED)


def test_no_segment_is_named_that_merely_holds_the_rows_that_could_change() -> None:
    """Of random rows in thousandths those without rain stay as they are: 0 is 0 in any unit."""

    def stations(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        dew = rng.normal(0, 8, rows)
        rain = np.where((dew > 2) & (rng.random(rows) < 0.4), rng.exponential(3, rows) + 0.3, 0.0)
        wind = rng.choice(["NW", "SE", "cv"], rows)
        return pd.DataFrame({"rain": rain.round(1), "dew": dew.round(1), "wind": wind})

    reference = Baseline.fit(stations(np.random.default_rng(1), 10_000))
    random, southern = [], []
    for seed in range(3):
        rows = stations(np.random.default_rng([seed, 3]), 2_000)
        guilty = np.random.default_rng(seed).random(2_000) < 0.25
        spoilt = rows.assign(rain=rows.rain * np.where(guilty, 1e3, 1))
        random.append(place(check(spoilt, reference), "rain"))
        guilty = rows.wind == "SE"
        spoilt = rows.assign(rain=rows.rain * np.where(guilty, 1e3, 1))
        southern.append(place(check(spoilt, reference), "rain"))

    assert random == [None] * 3
    assert {one and one.words for one in southern} == {'wind = "SE"'}


def test_a_level_under_another_name_is_in_no_segment_but_where_it_was(reference: Baseline) -> None:
    """An agent sells in one channel only: that its code is another has nothing to do with that."""
    rows = hotels(np.random.default_rng(9), 5_000)
    whole = rows.assign(agent=rows.agent.replace("250", "251"))
    in_part = rows.agent.where((rows.agent != "9") | (rows.hotel != "city"), "10")

    report, partly = check(whole, reference), check(rows.assign(agent=in_part), reference)

    assert {one.segment for one in report.violations if one.feature_name == "agent"} == {None}
    assert "segment" not in named(report, "agent").cause
    assert 'hotel = "city"' in str(place(partly, "agent"))


@pytest.mark.full
def test_no_segment_is_named_that_is_merely_where_the_values_were() -> None:
    """Any rows times 1.3: what comes into a range of miles lay in another, where few towns are."""
    towns = {"ATL": 750, "MIA": 1090, "MCO": 944, "DEN": 1620, "LAX": 2460, "PHX": 2140, "BOS": 190}

    def flights(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        to = rng.choice(list(towns), rows)
        miles = np.array([towns[one] for one in to]) + rng.integers(-20, 20, rows)
        return pd.DataFrame({"to": to, "by": rng.choice(list("abc"), rows), "miles": miles})

    baseline = Baseline.fit(flights(np.random.default_rng(41), ROWS))
    everywhere, in_one = [], []
    for seed in range(3):
        rng = np.random.default_rng([42, seed])
        rows = flights(rng, 3_000)
        longer = (rows.miles * 1.3).round().astype(int)
        spoilt = rows.assign(miles=rows.miles.mask(rng.random(3_000) < 0.25, longer))
        everywhere.append(place(check(spoilt, baseline), "miles"))
        spoilt = rows.assign(miles=rows.miles.mask(rows.by == "c", longer))
        in_one.append(place(check(spoilt, baseline), "miles"))

    assert everywhere == [None] * 3
    assert [one and one.words for one in in_one] == ['by = "c"'] * 3
