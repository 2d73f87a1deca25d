"""How far a column that drifted has moved, in numbers and in words."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl

RNG = np.random.default_rng(4)
NORMAL = RNG.normal(50.0, 8.0, 4_000)


def test_a_check_says_how_far_in_its_table_its_document_and_its_page(tmp_path) -> None:
    carriers = RNG.choice(["UA", "AA"], 4_000)
    reference = dl.Baseline.fit(pa.table({"temp": NORMAL, "carrier": carriers}))
    window = pa.table({"temp": NORMAL[:2_000] + 6.0, "carrier": carriers[:2_000]})

    report = dl.check(window, reference)

    table = report.features.set_index("feature")
    assert table.loc["temp", "change"].startswith("about 0.7")
    assert table.loc["carrier", "change"] == ""
    report.save(tmp_path)
    features = json.loads((tmp_path / "report.json").read_text())["features"]
    assert features[0]["wasserstein"] == pytest.approx(0.75, abs=0.05)
    page = tmp_path / "report.html"
    report.to_html(page)
    assert features[0]["change"] in page.read_text()
