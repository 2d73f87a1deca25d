"""What is told of levels that are gone, or that come under another name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.results.violation import percent
from tests.monitors.root_cause.hotels import ROWS, hotels, named, place, reference_share


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(hotels(np.random.default_rng(1), ROWS))


def coasts(seed: int, rows: int) -> pd.DataFrame:
    """Bookings of a third hotel, too."""
    rng = np.random.default_rng(seed)
    found = hotels(rng, rows)
    is_coast = (found.hotel == "city") & (rng.random(rows) < 0.3)
    return found.assign(hotel=np.where(is_coast, "coast", found.hotel))


def test_a_change_by_a_level_that_is_gone_is_told_as_that() -> None:
    """No booking of the resort, where children were lacking; all others as before."""
    baseline = Baseline.fit(coasts(1, ROWS))
    rows = coasts(9, 6_000)
    rows = rows[rows.hotel != "resort"]
    late = rows.assign(lead=np.where(rows.meal == "HB", 400.0, rows.lead))

    found, both = (named(check(one, baseline), "children") for one in (rows, late))

    before = percent(reference_share(baseline, "hotel", "resort"))
    assert found.cause.endswith(f', because hotel = "resort" is gone ({before} of rows before)')
    assert found.segment.change.before == pytest.approx(0.3, abs=0.02)
    assert both.cause == found.cause
    assert str(place(check(late, baseline), "lead")).startswith("all of the increase where meal")


def test_a_level_that_vanished_is_named_and_none_that_gained_by_it(reference: Baseline) -> None:
    rows = hotels(np.random.default_rng(11), 4_000)

    report = check(rows[rows.partner != "c"], reference)

    (found,) = [one for one in report.violations if one.feature_name == "partner"]
    assert found.cause == ('level "c" (reference 12.8%) gone, the others keep their proportions')
    assert str(found.predicate) == 'partner = "c"'
    assert found.row_count == 0
    assert len(report.rows(found)) == 0
