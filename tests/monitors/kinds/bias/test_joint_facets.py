"""Groups of several columns at once, and of intervals: counted, judged and told as others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.roles import Facet
from tests.monitors.kinds.bias.adult import expected, people
from tests.monitors.kinds.bias.cases import COLUMNS, metric, sample, with_column

YOUNG_WOMEN = "sex=Female & age<30"


@pytest.fixture(scope="module")
def joint() -> Baseline:
    """Adult by sex, by both sex and race, and by ages."""
    facets = ["sex=Female", "sex=Female & race=Black", YOUNG_WOMEN, "age=[17,30),[30,50)"]
    return Baseline.fit(people(), **COLUMNS, facet=facets, group="education")


@pytest.mark.parametrize("compat", [False, True])
def test_two_columns_give_the_numbers_of_one_column_of_both(joint: Baseline, compat: bool) -> None:
    # The oracle is smclarify 0.5 on a column "Female|Black".
    [case] = [one for one in expected()["cases"] if one["id"] == "sex_race_female_black"]
    [facet] = case["facets"]

    report = dl.check(people(), joint, kind="bias", compat=compat)

    wanted = {**facet["pre_training"], **facet["post_training"]}
    wanted.pop("FT")  # Of numbers, which this baseline does not have.
    for name, value in wanted.items():
        assert metric(report, name, "Female & Black").value == pytest.approx(value, abs=1e-9)
    assert metric(report, "DPPL", "Female & Black").facet == "sex & race"


def test_a_change_of_young_women_alone_names_them_and_their_rows(
    joint: Baseline, tmp_path: Path
) -> None:
    table = sample(4_000)
    women = np.array(table["sex"].to_pylist()) == "Female"
    hit = women & (table["age"].to_numpy() < 30)
    raised = hit & (np.random.default_rng(1).random(4_000) < 0.4)
    window = with_column(table, "predicted", np.where(raised, 1, table["predicted"].to_numpy()))
    joint.save(tmp_path)

    report = dl.check(window, str(tmp_path), kind="bias")

    worst = next(one for one in report.violations if " & " in one.feature_name)
    assert worst.feature_name.startswith("sex = Female & age below 30: ")
    assert worst.document["facet"] == "sex & age"
    assert worst.document["facet_value"] == "Female & [-inf, 30)"
    assert worst.row_count == hit.sum()
    rows = report.rows(worst, limit=None)
    assert set(rows["sex"]) == {"Female"}
    assert rows["age"].max() < 30


def test_each_pair_of_values_is_a_group_and_small_ones_say_so() -> None:
    reference = Baseline.fit(people(), **COLUMNS, facet="sex & race")

    report = dl.check(sample(3_000), reference, kind="bias")

    groups = {one.facet_value for one in report.metrics}
    assert len(groups) == 10
    assert {"Female & White", "Male & Other"} <= groups
    [small] = [
        one["group"]["rows"] for one in report.details["groups"]
        if one["facet_value"] == "Female & Other"
    ]  # fmt: skip
    assert small < 30
    unjudged = metric(report, "DPPL", "Female & Other")
    assert not unjudged.judged
    assert unjudged.state == "too_variable"
    assert unjudged.why.endswith(" rows that it rests on would do")
    assert metric(report, "DPPL", "Female & White").judged


def test_a_row_without_one_of_the_values_is_in_no_group(joint: Baseline) -> None:
    ages = people()["age"].to_pylist()
    table = with_column(people(), "age", [None, *ages[1:]])

    report = dl.check(table, joint, kind="bias")

    facets = report.details["facets"]
    missing = {one["facet"]: round(one["missing_share"] * len(table)) for one in facets}
    assert [one["missing"] for one in facets] == [*missing.values()]
    assert missing == {"sex": 0, "sex & race": 0, "sex & age": 1, "age": 1}


@pytest.mark.parametrize(
    ("facet", "said"),
    [
        ("sex & height", "height"),
        ("sex=Robot & age<30", 'never holds "Robot"'),
        ("sex & age", "needs a threshold"),
        ("sex=[18,30)", "split numbers"),
        ("age=(18,30]", "expected a number"),
    ],
)
def test_a_facet_that_the_reference_cannot_have_is_refused(facet: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Baseline.fit(people(), **COLUMNS, facet=facet)


def test_a_facet_of_one_column_twice_is_refused() -> None:
    with pytest.raises(InputError, match="a column stands twice"):
        Facet.parse("sex=F & sex=M")
