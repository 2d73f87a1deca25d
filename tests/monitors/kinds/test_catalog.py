"""What baselines are of, and what they lack for a kind of monitor."""

import json
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.kind import all_kinds, kind_named
from driftline.monitors.kinds.catalog import lacking

ROWS = pd.DataFrame({
    "age": range(40), "sex": ["F", "M"] * 20, "late": [0, 1, 1, 0] * 10, "said": [0, 1, 0, 0] * 10,
})  # fmt: skip
GROUPS = {"label": "late", "prediction": "said", "facet": "sex", "positive": 1}
ATTRIBUTIONS = {"explanations": {"kernel_shap": {"1": {"global_shap_values": {"age": 0.5}}}}}


@pytest.mark.parametrize(
    ("roles", "lacked"),
    [
        ({}, {"model-quality": "name a label", "bias": "a facet", "attribution": "a model"}),
        ({"label": "late", "prediction": "said"}, {"bias": "a facet", "attribution": "a model"}),
        (GROUPS, {"attribution": "the reference needs a model to ask; name one"}),
    ],
)
def test_a_baseline_lacks_what_deploying_a_model_with_it_would_ask_for(roles, lacked):
    baseline = Baseline.fit(ROWS, **roles)

    found = {kind.name: why for kind in all_kinds() if (why := lacking(kind, baseline))}

    assert list(found) == list(lacked)
    assert all(words in found[name] for name, words in lacked.items())


@pytest.mark.parametrize(
    ("file", "document", "kind"),
    [
        ("analysis.json", ATTRIBUTIONS, "attribution"),
        ("analysis.json", {"post_training_bias_metrics": {"facets": {}}}, "bias"),
        ("model-quality/constraints.json", {}, "model-quality"),
    ],
)
def test_documents_alone_are_enough(file, document, kind):
    text = json.dumps({"version": "1.0", **document})
    plain = replace(Baseline.fit(ROWS), documents={file: text})

    assert lacking(kind_named(kind), plain) == ""
    others = {"attribution", "bias", "model-quality"} - {kind}
    assert all(lacking(kind_named(other), plain) for other in others)


def test_judging_imports_none_of_the_parts_of_scipy_that_take_much_memory():
    code = (
        "import sys; from importlib import import_module\n"
        "from driftline.monitors.kind import all_kinds\n"
        "for kind in all_kinds(): import_module(kind.evaluation)\n"
        "print([name for name in ('scipy.stats', 'scipy.optimize') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout == "[]\n"
