"""Clarify's document of explanations, analysis.json: read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of

# Clarify's key. Permutations estimate the same values that its kernel does.
METHOD = "kernel_shap"
# No attribution comes near.
LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Explanation:
    """The global attributions of one output of a model."""

    values: Mapping[str, float]  # By feature.
    # The answer that they are counted from; None when the document has none.
    expected: float | None


def read_explanations(text: str) -> dict[str, Explanation]:
    """Read the explanations of an analysis.json by label; empty when it has none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"analysis.json: not JSON ({fault_of(error)})") from error
    if not isinstance(found, dict):
        raise InputError("analysis.json: expected an object")
    return read_section(found.get("explanations"))


def read_section(section: object) -> dict[str, Explanation]:
    """Read the value of the key ``explanations``."""
    if section is None:
        return {}
    methods = section if isinstance(section, dict) else {}
    labels = methods.get(METHOD, next(iter(methods.values()), None))
    if not isinstance(labels, dict) or not labels:
        raise InputError(
            f"analysis.json: expected explanations.{METHOD} with an object for each label, such as "
            '"label0"'
        )
    return {str(label): _explanation(str(label), entry) for label, entry in labels.items()}


def write_explanations(explanations: Mapping[str, Explanation]) -> str:
    """Write an analysis.json as Clarify does."""
    labels = {
        label: {
            "global_shap_values": {name: float(value) for name, value in one.values.items()},
            "expected_value": one.expected,
        }
        for label, one in explanations.items()
    }
    document = {"version": "1.0", "explanations": {METHOD: labels}}
    return json.dumps(document, indent=4, ensure_ascii=False, allow_nan=False) + "\n"


def _explanation(label: str, entry: object) -> Explanation:
    values = entry.get("global_shap_values") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(values, dict) or not values:
        raise InputError(f'analysis.json: label "{label}" has no global_shap_values')
    for name, value in values.items():
        if not _is_number(value):
            raise InputError(
                f'analysis.json: label "{label}", feature "{name}": {value!r:.60} is no number'
            )
    expected = entry.get("expected_value")
    return Explanation(
        {name: float(value) for name, value in values.items()},
        float(expected) if _is_number(expected) else None,
    )


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number that a double holds: JSON has larger ones, and NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST
