"""Clarify's analysis_config.json as roles: `--config analysis_config.json` replaces the flags.

Settings of the job itself, such as the predictor's instances, are ignored; of `methods` the bias
metrics are read.

References
----------
Amazon SageMaker Developer Guide, "Configure the Analysis" (clarify-processing-job-configure-
analysis), and the SDK's BiasConfig, ModelPredictedLabelConfig and ModelBiasMonitor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from driftline.classes import class_text
from driftline.errors import InputError
from driftline.roles import Facet, Roles

EXPECTED = "expected a configuration of SageMaker Clarify, such as analysis_config.json"
# By stage, in the order of Clarify's reports and with its words.
BIAS_METRICS: Mapping[str, Mapping[str, str]] = {
    "pre_training_bias": {
        "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
        "CI": "Class Imbalance (CI)",
        "DPL": "Difference in Positive Proportions in Labels (DPL)",
        "JS": "Jensen-Shannon Divergence (JS)",
        "KL": "Kullback-Liebler Divergence (KL)",
        "KS": "Kolmogorov-Smirnov Distance (KS)",
        "LP": "L-p Norm (LP)",
        "TVD": "Total Variation Distance (TVD)",
    },
    "post_training_bias": {
        "AD": "Accuracy Difference (AD)",
        "CDDPL": "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
        "DAR": "Difference in Acceptance Rates (DAR)",
        "DCA": "Difference in Conditional Acceptance (DCA)",
        "DCR": "Difference in Conditional Rejection (DCR)",
        "DI": "Disparate Impact (DI)",
        "DPPL": "Difference in Positive Proportions in Predicted Labels (DPPL)",
        "DRR": "Difference in Rejection Rates (DRR)",
        "FT": "Flip Test (FT)",
        "GE": "Generalized Entropy (GE)",
        "RD": "Recall Difference (RD)",
        "SD": "Specificity Difference (SD)",
        "TE": "Treatment Equality (TE)",
    },
}
# A facet's values under the names that the configuration and the SDK use.
FACET_VALUES = ("value_or_threshold", "facet_values_or_threshold")
# The last name of a JMESPath, such as that of predictions[*].score, and of "a b".c."d e".
PATH_NAME = re.compile(r"""(?:^|[.\]])(?:([A-Za-z_]\w*)|"((?:[^"\\]|\\.)+)")$""")


def headers_of_config(text: str | bytes) -> tuple[str, ...]:
    """Read the column names, for data without any; empty where the file has none."""
    headers = _parsed(text).get("headers") or []
    if not isinstance(headers, list) or not all(isinstance(one, str) for one in headers):
        raise InputError(f"headers {headers!r:.60}: expected a list of names; {EXPECTED}")
    return tuple(headers)


def _parsed(text: str | bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Here: the command line's help needs no parser.
        from driftline.formats.json.parsing import fault_of

        raise InputError(f"not JSON ({fault_of(error)}); {EXPECTED}") from error
    if not isinstance(found, dict):
        raise InputError(f"a JSON {type(found).__name__}; {EXPECTED}")
    return found


def roles_of_config(text: str | bytes) -> Roles:
    """Read label, positive value, facets, stratifying column and prediction columns."""
    found = _parsed(text)
    headers = found.get("headers")
    predictor = found.get("predictor")
    answer = predictor if isinstance(predictor, dict) else {}
    excluded = found.get("excluded_columns") or ()
    threshold = found.get("probability_threshold", answer.get("probability_threshold"))
    return Roles(
        label=_label(found, headers),
        prediction=_name(found, "predicted_label", found.get("predicted_label_headers")),
        id_column=_name(found, "joinsource_name_or_index", headers),
        exclude=tuple(_column(one, headers, "excluded_columns") for one in excluded),
        positive=_positive(found),
        threshold=None if threshold is None else float(threshold),
        facets=tuple(_facet(one, headers) for one in _facets(found)),
        group=_name(found, "group_variable", headers),
        bias_metrics=_bias_metrics(found.get("methods")),
    )


def answers_of_config(text: str | bytes, columns: Callable[[], Collection[str]]) -> Roles:
    """Return the columns that hold the predictor's label and probability.

    The job asks a model for them, so they need not be in the data. Columns in `headers` are inputs
    of the model and never predictions; a position names a column without a name (`_c0`). Without
    `headers` inputs and predictions cannot be told apart, and no column is returned.
    """
    found = _parsed(text)
    predictor, headers = found.get("predictor"), found.get("headers")
    named = predictor if isinstance(predictor, dict) and headers else {}
    given = [named.get(key) for key in ("label", "probability")]
    if given == [None, None]:
        return Roles()
    known = set(columns()).difference(_listed(headers))
    label, probability = (_answer(one, known) for one in given)
    return Roles(prediction=label, probability=() if probability is None else (probability,))


def methods_of_config(text: str | bytes) -> frozenset[str]:
    """Return the names of the methods that are asked for, such as "shap"."""
    methods = _parsed(text).get("methods")
    return frozenset(methods) if isinstance(methods, dict) else frozenset()


def model_of_config(text: str | bytes) -> str | None:
    """Return the name of the model whose predictions are explained or compared; None for neither.

    A configuration whose method shap has no model, such as one that names an endpoint, is refused.
    """
    methods, predictor = methods_of_config(text), _parsed(text).get("predictor")
    name = predictor.get("model_name") if isinstance(predictor, dict) else None
    if not isinstance(name, str) and "shap" in methods:
        raise InputError(f"methods shap without predictor.model_name; {EXPECTED}")
    return name if isinstance(name, str) and methods & {"shap", "post_training_bias"} else None


def _answer(value: object, known: Collection[str]) -> str | None:
    """Return a prediction's column by its index, its name or the last name of its path."""
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    last = PATH_NAME.search(text)
    names = [f"_c{int(text)}"] if text.isdecimal() else [text]
    if last is not None:
        names.append(last[1] or last[2].replace('\\"', '"'))
    return next((name for name in names if name and name in known), None)


def _bias_metrics(methods: object) -> tuple[str, ...]:
    """Read the requested metrics, a stage's name for all of its; none where none is named."""
    named: list[str] = []
    for stage, known in BIAS_METRICS.items():
        asked = methods.get(stage) if isinstance(methods, dict) else None
        listed = asked.get("methods", "all") if isinstance(asked, dict) else []
        if listed == "all":
            named.append(stage)
        elif isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            if unknown := [one for one in listed if one not in known]:
                raise InputError(
                    f'{stage}: "{unknown[0]}" is no such metric; expected "all" or some of '
                    f"{', '.join(known)}"
                )
            named += listed
        else:
            raise InputError(
                f'{stage}: methods {listed!r}; expected "all" or a list of metrics, such as '
                f'["{next(iter(known))}"]'
            )
    return () if named == list(BIAS_METRICS) else tuple(named)


def _facets(found: Mapping[str, Any]) -> Sequence[Any]:
    facets = found.get("facet", [])
    return [facets] if isinstance(facets, dict) else list(facets)


def _facet(one: object, headers: object) -> Facet:
    if not isinstance(one, dict) or "name_or_index" not in one:
        raise InputError(f'facet {one!r}: no "name_or_index"; {EXPECTED}')
    listed = [value for name in FACET_VALUES for value in _listed(one.get(name))]
    named = one["name_or_index"]
    if not isinstance(named, list):
        named, listed = [named], [listed]
    elif listed and len(listed) != len(named):
        raise InputError(
            f"facet {named}: values {listed}; expected a list of values for each of its columns"
        )
    # Several columns are ours: Clarify has no groups of two columns.
    first, *also = (
        Facet.of(_column(column, headers, "facet"), [class_text(one) for one in _listed(values)])
        for column, values in zip_longest(named, listed)
    )
    return replace(first, also=tuple(also))


def _positive(found: Mapping[str, Any]) -> str | None:
    listed = _listed(found.get("label_values_or_threshold"))
    if len(listed) > 1:
        raise InputError(
            f"label_values_or_threshold {listed}: several positive values; expected one (make a "
            "column that is 1 for all of them)"
        )
    return class_text(listed[0]) if listed else None


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _name(found: Mapping[str, Any], field: str, headers: object) -> str | None:
    value = found.get(field)
    return None if value is None else _column(value, headers, field)


def _label(found: Mapping[str, Any], headers: object) -> str | None:
    """Return the label; in JSON the last name of an expression like ``instances[*].label``."""
    is_json = "json" in str(found.get("dataset_type", ""))
    if is_json and isinstance(headers, list) and headers:
        label = found.get("label")
        if isinstance(label, str) and label not in headers:
            return str(headers[-1])
    return _name(found, "label", headers)


def _column(value: object, headers: object, field: str) -> str:
    """Return a column's name, which may be given as an index."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and isinstance(headers, list) and 0 <= value < len(headers):
        return str(headers[value])
    raise InputError(
        f'{field}: {value!r} is no column; expected a name, or a number with the names in "headers"'
    )
