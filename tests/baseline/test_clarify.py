"""Clarify's configuration in place of flags."""

from __future__ import annotations

import json

import pytest

from driftline.baseline.clarify import answers_of_config, roles_of_config
from driftline.errors import InputError
from driftline.roles import Facet

# As the SDK writes it for the public example of the bias monitor (DataConfig, BiasConfig,
# ModelConfig, ModelPredictedLabelConfig).
CONFIG = {
    "dataset_type": "application/jsonlines",
    "headers": ["Age", "Workclass", "Sex", "Target"],
    "label": "Target",
    "features": "features",
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "Sex", "value_or_threshold": [0]}],
    "group_variable": "Age",
    "methods": {
        "report": {"name": "report", "title": "Analysis Report"},
        "pre_training_bias": {"methods": "all"},
        "post_training_bias": {"methods": "all"},
    },
    "predictor": {
        "model_name": "xgb",
        "instance_type": "ml.m5.large",
        "initial_instance_count": 1,
        "accept_type": "application/jsonlines",
        "content_type": "application/jsonlines",
        "content_template": '{"instances":$records}',
        "label": "predictions[*].predicted_label",
        "probability": "predictions[*].score",
        "probability_threshold": 0.8,
    },
}


def test_a_configuration_of_the_sdk_is_read() -> None:
    roles = roles_of_config(json.dumps(CONFIG))

    assert (roles.label, roles.positive, roles.group) == ("Target", "1", "Age")
    assert roles.facets == (Facet("Sex", ("0",)),)
    assert roles.threshold == 0.8
    assert roles.prediction is None
    assert roles.probability == ()


@pytest.mark.parametrize(
    ("named", "columns", "found"),
    [
        ({}, ["Age", "predicted_label", "score"], ("predicted_label", ("score",))),
        ({}, ["Age", "Target"], (None, ())),  # Training data: the job asks the model.
        ({"label": 0, "probability": "1"}, ["Age", "_c0", "_c1"], ("_c0", ("_c1",))),
        (
            {"label": "label", "probability": '[0].out."the score"'},
            ["the score"],
            (None, ("the score",)),
        ),
        ({"label": "score[0]", "probability": "max(p)"}, ["score", "p"], (None, ())),
        (
            {"label": "predicted-label", "probability": "p. 1"},
            ["predicted-label", "p. 1"],
            ("predicted-label", ("p. 1",)),
        ),
        ({"label": None, "probability": True}, ["_c0", "_c1"], (None, ())),
        # Names of what the model is asked with, in the path of an answer.
        ({"label": "out[0].Target", "probability": "out[0].Age"}, ["Age", "Target"], (None, ())),
    ],
)
def test_the_predictors_answers_are_roles_of_data_that_holds_them(
    named: dict[str, object], columns: list[str], found: tuple[str | None, tuple[str, ...]]
) -> None:
    text = json.dumps({**CONFIG, "predictor": {**CONFIG["predictor"], **named}})

    roles = answers_of_config(text, lambda: columns)

    assert (roles.prediction, roles.probability) == found


@pytest.mark.parametrize(
    ("methods", "metrics"),
    [
        (CONFIG["methods"], ()),
        ({"shap": {"num_samples": 10}}, ()),
        (
            {"pre_training_bias": {"methods": ["CI"]}, "post_training_bias": {"methods": "all"}},
            ("CI", "post_training_bias"),
        ),
        ({"post_training_bias": {"methods": ["DPPL", "DI"]}}, ("DPPL", "DI")),
    ],
)
def test_metrics_that_are_asked_for_are_read(methods: dict, metrics: tuple[str, ...]) -> None:
    assert roles_of_config(json.dumps({**CONFIG, "methods": methods})).bias_metrics == metrics


@pytest.mark.parametrize(
    ("stage", "name", "known"),
    [("pre_training_bias", "DPPL", "CDDL, CI"), ("post_training_bias", "DPL", "AD, CDDPL, DAR")],
)
def test_a_metric_that_its_stage_does_not_have_is_refused(
    stage: str, name: str, known: str
) -> None:
    methods = {stage: {"methods": [name]}}

    with pytest.raises(InputError, match=f'{stage}: "{name}" is no .* some of {known}, '):
        roles_of_config(json.dumps({**CONFIG, "methods": methods}))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON list"),
        ('{"label": 3}', "no column"),
        ('{"facet": [{"name": "Sex"}]}', "name_or_index"),
        ('{"label": "y", "label_values_or_threshold": [1, 2]}', "several positive values"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        roles_of_config(text)
