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
from driftline.monitors.results.violation import percent
from driftline.monitors.root_cause import row_sample
from tests.monitors.root_cause.hotels import ROWS, hotels, named, place, reference_share

NOT_NARROWED = "cannot be narrowed down to a segment"


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(hotels(np.random.default_rng(1), ROWS))


@pytest.mark.parametrize("count", [6, 10, 25])
def test_no_segment_is_named_by_chance_where_few_rows_are_at_fault(
    pytestconfig: pytest.Config, reference: Baseline, count: int
) -> None:
    """A false name has a chance below 0.01 by the design: 6 of 30, or 4 of 10, below 3e-6."""
    windows, too_many = (30, 6) if pytestconfig.getoption("full") else (10, 4)
    found = []
    for seed in range(windows):
        rng = np.random.default_rng([seed, count])
        rows = hotels(rng, 500)
        rows.loc[rng.choice(500, count, replace=False), "meal"] = "ZZ"
        found.append(place(check(rows, reference), "meal"))

    assert sum(one is not None for one in found) < too_many


def test_the_segment_of_few_rows_is_named_beyond_chance(reference: Baseline) -> None:
    rows = hotels(np.random.default_rng(5), 500)
    guilty = np.flatnonzero(rows.partner == "c")[:12]
    rows.loc[guilty, "meal"] = "ZZ"

    found = place(check(rows, reference), "meal")

    assert found is not None
    assert found.words == 'partner = "c"'


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


def test_that_nothing_changed_elsewhere_is_not_said_where_the_rest_fell(
    reference: Baseline,
) -> None:
    rng = np.random.default_rng(7)
    rows = hotels(rng, 4_000)
    rows.loc[(rows.hotel == "city") & (rng.random(4_000) < 0.2), "children"] = np.nan
    rows.loc[(rows.hotel == "resort") & (rng.random(4_000) < 0.5), "children"] = 1.0

    cause = named(check(rows, reference), "children").cause

    assert 'where hotel = "city"' in cause
    assert "nothing changed elsewhere" not in cause


def weather(rng: np.random.Generator, days: int, start: str) -> pd.DataFrame:
    """Flights of three airports that share the weather of their hour and day."""
    times = pd.date_range(start, periods=days * 24, freq="h", tz="UTC")
    level = 45 + 12 * np.sin(np.arange(times.size) / 90) + rng.normal(0, 6, days).repeat(24)
    at = np.arange(times.size).repeat(20)
    origin = rng.choice(["EWR", "JFK", "LGA"], at.size)
    return pd.DataFrame({"at": times[at], "origin": origin, "temp": level[at].round(1)})


def test_a_segment_that_is_the_changed_rows_is_named_however_rows_hang_together() -> None:
    """The rows of a day are worth a few: that makes chance of a level, and none of where it is."""
    rng = np.random.default_rng(11)
    reference = Baseline.fit(weather(rng, 90, "2024-01-01"), timestamp="at")
    rows = weather(rng, 1, "2024-03-31")
    guilty = rows.origin == "EWR"
    rows.loc[guilty, "temp"] = (rows.temp[guilty] - 32) / 1.8

    found = named(check(rows, reference), "temp")

    assert found.segment is not None, found.cause
    assert found.segment.words == 'origin = "EWR"'
    assert ' all of the increase where origin = "EWR" (' in found.cause


def test_what_grew_everywhere_is_in_no_segment(reference: Baseline) -> None:
    rng = np.random.default_rng(8)
    rows = hotels(rng, 4_000)
    rows.loc[rng.random(4_000) < 0.12, "children"] = np.nan

    report = check(rows, reference)

    assert place(report, "children") is None
    assert named(report, "children").cause.endswith(NOT_NARROWED)


def test_a_segment_whose_rows_grew_is_told_as_growth(reference: Baseline) -> None:
    """Twice as many bookings of the resort, where children were always lacking: Kitagawa's mix."""
    rng = np.random.default_rng(9)
    rows = hotels(rng, 9_000)
    rows = rows[(rows.hotel == "resort") | (rng.random(9_000) < 0.25)]

    found = named(check(rows, reference), "children")

    before, now = (reference_share(reference, "hotel", "resort"), (rows.hotel == "resort").mean())
    assert found.segment.change.grew_from == pytest.approx(before)
    grew = f"grew from {percent(before)} to {percent(now)} of rows"
    assert found.cause.endswith(f', because hotel = "resort" {grew}, nothing changed within it')


def test_a_segment_that_follows_from_the_column_is_no_explanation(reference: Baseline) -> None:
    """Agent 250 sells directly, and nobody else does: that holds whatever else happens."""
    rng = np.random.default_rng(10)
    rows = hotels(rng, 4_000)
    more = rng.random(4_000) < 0.2
    rows.loc[more, "channel"], rows.loc[more, "agent"] = "direct", "250"

    found = check(rows, reference)

    for feature, other in (("channel", "agent"), ("agent", "channel")):
        segment = place(found, feature)
        assert segment is None or other not in {one.column for one in segment.predicates}


def test_where_rows_are_missing_is_told_as_a_decrease(reference: Baseline) -> None:
    rng = np.random.default_rng(14)
    rows = hotels(rng, 6_000)
    moved = (rows.hotel == "city") & (rows.meal == "BB") & (rng.random(6_000) < 0.8)
    rows = rows[~((rows.hotel == "city") & (rows.meal == "HB"))]

    found = named(check(rows, reference), "meal")

    assert moved.any()
    assert str(found.predicate) == 'meal = "HB"'
    assert found.segment.words == 'hotel = "city"'
    assert "of the decrease where" in found.cause


def test_some_levels_of_a_column_are_named_together(reference: Baseline) -> None:
    rng = np.random.default_rng(15)
    rows = hotels(rng, 6_000)
    rows.loc[rows.partner.isin(["b", "e"]), "adr"] *= 1000

    found = place(check(rows, reference), "adr")

    assert found.words in ('partner = "b" or "e"', 'partner = "e" or "b"')
    assert found.change.is_all


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


def test_two_conditions_are_named_where_one_alone_is_a_small_segment_too() -> None:
    def trips(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        places = {"origin": list("abc"), "to": [f"t{at}" for at in range(40)]}
        drawn = {name: rng.choice(levels, rows) for name, levels in places.items()}
        return pd.DataFrame({**drawn, "fare": rng.gamma(6, 17, rows).round(2)})

    reference, rows = (trips(np.random.default_rng(seed), 5_000) for seed in (21, 22))
    one, both = rows.to == "t7", (rows.to == "t7") & (rows.origin == "b")

    found = [
        place(check(rows.assign(fare=rows.fare.mask(guilty)), Baseline.fit(reference)), "fare")
        for guilty in (one, both)
    ]

    assert [each.words for each in found] == ['to = "t7"', 'origin = "b" and to = "t7"']


def test_a_range_of_a_number_is_named(reference: Baseline) -> None:
    rows = hotels(np.random.default_rng(17), 6_000)
    edge = next(
        edge for edge in reference.cells["lead"].edges if edge >= np.quantile(rows.lead, 0.74)
    )
    rows.loc[rows.lead >= edge, "meal"] = "ZZ"

    found = place(check(rows, reference), "meal")

    (one,) = found.conditions
    assert (one.column, one.op) == ("lead", "ge")
    assert found.share_of_culprits > 0.8


def test_without_a_sample_only_what_the_reference_never_had_is_placed(
    reference: Baseline,
) -> None:
    """Baselines of older versions and SageMaker's folders hold no rows."""
    older = replace(reference, sample=None)
    rng = np.random.default_rng(18)
    rows = hotels(rng, 4_000)
    rows.loc[rows.partner == "c", "meal"] = "ZZ"
    rows.loc[(rows.hotel == "city") & (rng.random(4_000) < 0.2), "children"] = np.nan

    report = check(rows, older)

    assert place(report, "meal").words == 'partner = "c"'
    assert place(report, "children") is None
    assert named(report, "children").cause.endswith(NOT_NARROWED)


def test_a_thousand_columns_are_coded_from_few_rows() -> None:
    columns = [row_sample.SegmentColumn(f"c{at}") for at in range(1_000)]

    assert row_sample.WindowSample.start(columns, (), None).rows.limit == 4_000


@pytest.mark.parametrize(("rows", "stride"), [(None, 1), (100_000, 1), (100_001, 2), (10**6, 16)])
def test_no_row_is_coded_that_would_go_again(rows: int | None, stride: int) -> None:
    assert row_sample.WindowSample.start((), (), rows).rows.stride == stride


def test_a_range_of_another_number_is_no_place_of_a_fault_of_all_rows() -> None:
    """Rows anywhere a thousandfold: what lands above the range was above 0, where `dew` is too."""

    def weather(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        temp = rng.normal(0, 10, rows)
        dew = temp + rng.normal(0, 2, rows)
        return pd.DataFrame({"temp": temp, "dew": dew, "wind": rng.choice(list("nesw"), rows)})

    rng = np.random.default_rng(19)
    baseline = Baseline.fit(weather(rng, 10_000))
    rows = weather(rng, 5_000)
    rows.loc[rng.random(5_000) < 0.1, "temp"] *= 1000

    found = [one for one in check(rows, baseline).violations if one.feature_name == "temp"]

    assert found
    assert [one.segment for one in found] == [None] * len(found)


def test_a_range_is_no_part_of_a_fault_of_all_rows_of_a_level() -> None:
    """Of a level in hundredths what lands above the range was above 0, where `temp` is high."""

    def weather(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        temp = rng.normal(8, 10, rows)
        dew = temp - 8 + rng.normal(0, 3, rows)
        wind = rng.choice(["NW", "SE", "cv"], rows, p=[0.4, 0.4, 0.2])
        return pd.DataFrame({"temp": temp.round(), "dew": dew.round(), "wind": wind})

    baseline = Baseline.fit(weather(np.random.default_rng(23), 10_000))
    found = []
    for seed in range(6):
        rows = weather(np.random.default_rng([24, seed]), 500)
        rows["dew"] *= np.where(rows.wind == "NW", 100, 1)
        found.append(place(check(rows, baseline), "dew"))

    assert [one and one.words for one in found] == ['wind = "NW"'] * 6


def test_the_distance_is_that_of_the_set_beside_it(reference: Baseline) -> None:
    rng = np.random.default_rng(15)
    rows = [hotels(rng, 2_000) for _ in range(4)]
    rows[0]["meal"] = rows[0].meal.replace("HB", "HB ")
    rows[1] = rows[1][rows[1].partner != "c"]
    rows[2]["meal"] = rows[2].meal.mask(rng.random(2_000) < 0.2, "BB")
    rows[3]["adr"] = rows[3].adr + 20

    results = [one for table in rows for one in check(table, reference).results]

    # Of a column with gaps the distance is among the rows with a value, the shares of all.
    measured = [one for one in results if one.distance is not None and not one.missing_count]
    moved = [abs(one.share_window - one.share_reference) for one in measured]
    assert [one.distance for one in measured] == pytest.approx(moved)


def test_no_segment_is_named_that_merely_holds_the_rows_that_could_change() -> None:
    """Of random rows in thousandths those without rain stay as they are: 0 is 0 in any unit."""

    def stations(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        dew = rng.normal(0, 8, rows)
        rain = np.where((dew > 2) & (rng.random(rows) < 0.4), rng.exponential(3, rows) + 0.3, 0.0)
        wind = rng.choice(["NW", "SE", "cv"], rows)
        return pd.DataFrame({"rain": rain.round(1), "dew": dew.round(1), "wind": wind})

    reference = Baseline.fit(stations(np.random.default_rng(1), 10_000))
    random, southern = [], []
    for seed in range(6):
        rows = stations(np.random.default_rng([seed, 3]), 2_000)
        guilty = np.random.default_rng(seed).random(2_000) < 0.25
        spoilt = rows.assign(rain=rows.rain * np.where(guilty, 1e3, 1))
        random.append(place(check(spoilt, reference), "rain"))
        guilty = rows.wind == "SE"
        spoilt = rows.assign(rain=rows.rain * np.where(guilty, 1e3, 1))
        southern.append(place(check(spoilt, reference), "rain"))

    assert random == [None] * 6
    assert {one and one.words for one in southern} == {'wind = "SE"'}


def test_rows_that_no_cell_holds_are_placed_where_the_reference_had_hardly_any() -> None:
    rng = np.random.default_rng(8)
    known = hotels(rng, ROWS)
    baseline = Baseline.fit(pd.concat([known, known[:20]]))
    window = hotels(rng, 5_000)
    everywhere = pd.concat([window, window.sample(frac=0.05, random_state=1)])
    in_one = pd.concat([window, window[window.partner == "c"].sample(300, random_state=1)])

    found, none = (named(check(rows, baseline), "Repeated rows") for rows in (in_one, everywhere))

    assert none.segment is None
    assert str(found.segment).startswith('all of the increase where partner = "c" (')
    assert "from 0.1% to" in str(found.segment)


def test_a_level_under_another_name_is_in_no_segment_but_where_it_was(reference: Baseline) -> None:
    """An agent sells in one channel only: that its code is another has nothing to do with that."""
    rows = hotels(np.random.default_rng(9), 5_000)
    whole = rows.assign(agent=rows.agent.replace("250", "251"))
    in_part = rows.agent.where((rows.agent != "9") | (rows.hotel != "city"), "10")

    report, partly = check(whole, reference), check(rows.assign(agent=in_part), reference)

    assert {one.segment for one in report.violations if one.feature_name == "agent"} == {None}
    assert "segment" not in named(report, "agent").cause
    assert 'hotel = "city"' in str(place(partly, "agent"))


def shops(rng: np.random.Generator, rows: int, **weights: float) -> pd.DataFrame:
    """Sales of three large towns and 200 villages, of which v7 never gave a price."""
    names = np.array(["north", "south", "east", *(f"v{at}" for at in range(200))])
    share = np.array([0.3, 0.25, 0.2, *[0.25 / 200] * 200])
    for name, weight in weights.items():
        share[names == name] *= weight
    town = rng.choice(names, rows, p=share / share.sum())
    price, tax = (rng.gamma(6, 17, rows).round(2) for _ in range(2))
    price[(town == "v7") | (rng.random(rows) < 0.01)] = np.nan
    tax[rng.random(rows) < 0.001] = np.nan
    card = rng.choice(["yes", "no"], rows)
    return pd.DataFrame({"town": town, "price": price, "tax": tax, "card": card})


def test_a_rare_value_is_not_named_for_what_it_may_have_had_before() -> None:
    """Values rarer than half a percent share one rate: what v7 had of it is not known."""
    baseline = Baseline.fit(shops(np.random.default_rng(31), ROWS))
    more = [shops(np.random.default_rng([32, seed]), 4_000, v7=60) for seed in range(3)]
    broken = shops(np.random.default_rng(33), 4_000, v9=30)
    at_fault = broken.town == "v9"
    broken["tax"], broken["card"] = broken.tax.mask(at_fault), broken.card.mask(at_fault, "?")
    report = check(broken, baseline)

    assert [place(check(rows, baseline), "price") for rows in more] == [None] * 3
    assert [place(report, name).words for name in ("tax", "card")] == ['town = "v9"'] * 2
    assert 'where town = "v9" (now 100% there, 0.1% elsewhere)' in named(report, "tax").cause
    assert "% of all rows, from 0% to 100% there)" in named(report, "card").cause


def test_no_segment_is_named_that_is_merely_where_the_values_were() -> None:
    """Any rows times 1.3: what comes into a range of miles lay in another, where few towns are."""
    towns = {"ATL": 750, "MIA": 1090, "MCO": 944, "DEN": 1620, "LAX": 2460, "PHX": 2140, "BOS": 190}

    def flights(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        to = rng.choice(list(towns), rows)
        miles = np.array([towns[one] for one in to]) + rng.integers(-20, 20, rows)
        return pd.DataFrame({"to": to, "by": rng.choice(list("abc"), rows), "miles": miles})

    baseline = Baseline.fit(flights(np.random.default_rng(41), ROWS))
    everywhere, in_one = [], []
    for seed in range(6):
        rng = np.random.default_rng([42, seed])
        rows = flights(rng, 3_000)
        longer = (rows.miles * 1.3).round().astype(int)
        spoilt = rows.assign(miles=rows.miles.mask(rng.random(3_000) < 0.25, longer))
        everywhere.append(place(check(spoilt, baseline), "miles"))
        spoilt = rows.assign(miles=rows.miles.mask(rows.by == "c", longer))
        in_one.append(place(check(spoilt, baseline), "miles"))

    assert everywhere == [None] * 6
    assert [one and one.words for one in in_one] == ['by = "c"'] * 6


def test_the_segment_whose_values_are_spread_is_named_though_it_holds_all_of_some_range() -> None:
    """After 23 only c has rows; but a thousandfold of what lies there is no thousandfold of all."""

    def departures(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        by = rng.choice(list("abc"), rows)
        late = (rng.random(rows) < 0.02) & (by == "c")
        return pd.DataFrame({"by": by, "hour": np.where(late, 23, rng.integers(5, 22, rows))})

    baseline = Baseline.fit(departures(np.random.default_rng(43), ROWS))
    rows = departures(np.random.default_rng(44), 5_000)
    guilty = np.random.default_rng(45).choice(np.flatnonzero(rows.by == "c"), 15, replace=False)
    rows.loc[guilty, "hour"] *= 1000

    found = place(check(rows, baseline), "hour")

    assert found is not None
    assert found.words == 'by = "c"'


def test_no_segment_is_named_that_holds_all_rows_of_the_one_value_that_moved() -> None:
    """Any miles less 3: what comes into a range were the 762 of one town, a part of its cell."""
    towns = {"ATL": 762, "JAX": 830, "ORD": 733, "BOS": 190, "LAX": 2460}

    def flights(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        to = rng.choice([*towns, "any"], rows, p=[0.05, 0.01, 0.01, 0.01, 0.02, 0.9])
        far = rng.integers(100, 2400, rows)
        return pd.DataFrame(
            {"to": to, "miles": [towns.get(*one) for one in zip(to, far, strict=True)]}
        )

    baseline = Baseline.fit(flights(np.random.default_rng(46), ROWS))
    rows = flights(np.random.default_rng(47), 5_000)

    assert place(check(rows.assign(miles=rows.miles - 3), baseline), "miles") is None


def test_no_segment_is_named_of_numbers_that_break_a_rule_once_moved() -> None:
    """After midnight only late departures arrive: of all numbers less 3, theirs are below 0."""

    def arrivals(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        hour = rng.integers(5, 24, rows)
        minute = np.where(hour > 21, rng.integers(0, 60, rows), rng.integers(60, 1440, rows))
        return pd.DataFrame({"hour": hour, "arrival": minute})

    baseline = Baseline.fit(arrivals(np.random.default_rng(48), ROWS))
    rows = arrivals(np.random.default_rng(49), 5_000)
    found = check(rows.assign(arrival=rows.arrival - 3), baseline).violations

    assert "non_negative_check" in {one.constraint_check_type for one in found}
    assert [one.segment for one in found] == [None] * len(found)


def test_no_segment_is_named_of_whole_numbers_that_are_none_once_scaled() -> None:
    """Of a flag times 1.3 only the ones change, and these are all at weekends."""

    def days(rng: np.random.Generator, rows: int) -> pd.DataFrame:
        kind = rng.choice(["week", "weekend", "holiday"], rows, p=[0.7, 0.25, 0.05])
        return pd.DataFrame({"kind": kind, "free": (kind != "week").astype(int)})

    baseline = Baseline.fit(days(np.random.default_rng(53), ROWS))
    rows = days(np.random.default_rng(54), 1_000)
    all_rows = check(rows.assign(free=rows.free * 1.3), baseline)
    one = rows.kind == "holiday"
    of_one = check(rows.assign(free=rows.free.mask(one, rows.free * 1.3)), baseline)

    assert place(all_rows, "free") is None
    assert place(of_one, "free") is not None


def test_a_value_inside_of_a_cell_is_placed_without_a_rate_before() -> None:
    """Of one number the reference's cells tell only how often it came at most."""
    reference = Baseline.fit(weather(np.random.default_rng(51), 90, "2024-01-01"), timestamp="at")
    rows = weather(np.random.default_rng(52), 7, "2024-03-31")
    highest = rows.temp.max() + 0.1  # Lower than the largest of the reference.
    in_one = rows.assign(temp=rows.temp.mask(rows.origin == "EWR", highest))
    cut_off = rows.assign(temp=rows.temp.clip(upper=rows.temp.quantile(0.7)))

    found, none = (
        next(
            one for one in check(table, reference).violations
            if one.constraint_check_type == "saturation_check"
        )
        for table in (in_one, cut_off)
    )  # fmt: skip

    assert found.segment is not None, found.cause
    assert found.segment.words == 'origin = "EWR"'
    assert "now 100% there" in found.cause
    assert none.cause.endswith(NOT_NARROWED)
