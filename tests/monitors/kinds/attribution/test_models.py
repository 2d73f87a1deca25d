"""Which model explains a window, which ones answered it, and what its outputs are called."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.estimators.own_methods import Contributions
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions
from tests.monitors.kinds.attribution.leaning import judged, model, weather


@dataclass(frozen=True)
class Named:
    """The model as one that is known by a name."""

    model: str
    features = None
    labels = ()
    units = "answer"
    method = method_units = "permutation"

    def __call__(self, rows: pa.Table) -> np.ndarray:
        return model(rows)

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        raise NotImplementedError


def named_model(reference: Baseline, name: str, units: str = "answer") -> Baseline:
    """The reference as if explained for a model of a name, which answers in some units."""
    stored = Attributions.from_arrow(reference.attributions)
    making = replace(stored.making, model=name, units=units)
    return replace(reference, attributions=replace(stored, making=making).to_arrow())


def test_another_model_is_judged_by_its_features_and_told(
    reference: Baseline, rng: np.random.Generator
) -> None:
    baseline = named_model(reference, "old")
    alike, other = weather(rng, 500), weather(rng, 500, d=30)

    report = judged(baseline, alike, predict=Named("new"))
    changed = judged(baseline, other, predict=Named("new"))

    note = "the model changed: the reference was explained for model old, now it is new"
    assert report.passed
    assert report.details["model_note"] == note
    assert changed.details["model_note"] == note
    assert {one.fields["metric_name"] for one in changed.violations} == {"shap"}
    assert "level" not in {one.feature_name for one in changed.violations}
    assert changed.violations[0].cause.startswith("the model changed, and the ")
    assert "model_note" not in judged(baseline, alike, predict=Named("old")).details


@dataclass(frozen=True)
class OwnWay(Named):
    """The model as one that explains itself by a way that no other has."""

    units = "probability"
    method, method_units = "tree_path_dependent", "margin"

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        values = np.column_stack([rows[name].to_numpy() for name in "abcd"] + [[0.1] * len(rows)])
        return Contributions(values[:, None, :], np.zeros(1))


def test_a_model_of_another_way_is_compared_by_permutations(rng: np.random.Generator) -> None:
    rows = weather(np.random.default_rng(1), 3_000)
    baseline = explain_reference(open_source(rows), Baseline.fit(rows), OwnWay("old"))

    own = judged(baseline, weather(rng, 500), predict=OwnWay("old"))
    alike = judged(baseline, weather(rng, 500), predict=Named("new"))
    other = judged(baseline, weather(rng, 500, d=30), predict=Named("new"))

    assert own.details["method"] == "tree_path_dependent"
    assert alike.passed
    assert alike.decided
    assert alike.details["method"] == "permutation"
    assert alike.details["model_note"].startswith("the model changed")
    assert "shares" in {one.feature_name for one in other.violations}
    stored = Attributions.from_arrow(baseline.attributions)
    assert stored.background.num_rows == 0
    # As many rows as a window's 60,000 model rows explain, against ten.
    assert len(stored.permuted.rows["label0"]) == 60_000 // (2 * 10 * 4)
