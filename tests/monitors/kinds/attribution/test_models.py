"""Which model explains a window, which ones answered it, and what its outputs are called."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.estimators.own_methods import Contributions
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.attributions import Attributions
from driftline.monitors.kinds.attribution.explaining import explain_reference
from tests.monitors.kinds.attribution.leaning import judged, model, weather


@dataclass(frozen=True)
class Named:
    """The model as one that is known by a name."""

    model: str
    features = None
    labels = ()
    positive = ""
    units = "answer"
    method = method_units = "permutation"

    def __call__(self, rows: pa.Table) -> np.ndarray:
        return model(rows)

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        raise NotImplementedError


def named_model(reference: Baseline, name: str, units: str = "answer") -> Baseline:
    """The reference as if explained for a model of a name, which answers in some units."""
    stored = Attributions.from_arrow(reference.attributions)
    named = replace(stored, model=name, units=units)
    return replace(reference, attributions=named.to_arrow())


def test_another_model_is_judged_by_its_shares_and_not_by_its_level(
    reference: Baseline, rng: np.random.Generator
) -> None:
    baseline = named_model(reference, "old")
    alike, other = weather(rng, 500), weather(rng, 500, d=30)

    report = judged(baseline, alike, predict=Named("new"))
    changed = judged(baseline, other, predict=Named("new"))

    assert report.passed
    assert (report.metrics[-1].name, report.metrics[-1].bound) == ("level", None)
    assert report.metrics[-1].why.startswith("incomparable: another model")
    assert {one.fields["metric_name"] for one in changed.violations} == {"shap"}
    assert "level" not in {one.feature_name for one in changed.violations}
    assert judged(baseline, alike, predict=Named("old")).metrics[-1].judged


@dataclass(frozen=True)
class OwnWay(Named):
    """The model as one that explains itself by a way that no other has."""

    units = "probability"
    method, method_units = "tree_path_dependent", "margin"

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        values = np.column_stack([rows[name].to_numpy() for name in "abcd"] + [[0.1] * len(rows)])
        return Contributions(values[:, None, :], np.zeros(1))


def test_a_model_without_the_references_method_is_refused(rng: np.random.Generator) -> None:
    rows = weather(np.random.default_rng(1), 3_000)
    baseline = explain_reference(open_source(rows), Baseline.fit(rows), OwnWay("old"))

    own = judged(baseline, weather(rng, 500), predict=OwnWay("old"))
    with pytest.raises(InputError, match="which this model does not offer; make the baseline"):
        judged(baseline, weather(rng, 500, d=30), predict=Named("new"))

    assert own.details["method"] == "tree_path_dependent"
    assert own.passed
    assert Attributions.from_arrow(baseline.attributions).background.num_rows == 0
