"""constraints.json: read, checked and written without losing a key."""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, TypeVar

from driftline.errors import InputError
from driftline.formats.json.jackson import read_json, to_jackson
from driftline.signature import Column

T = TypeVar("T")
Method = Literal["Simple", "Robust"]
CategoricalMethod = Literal["LInfinity", "ChiSquared"]

# The documentation's table says linf_*, the files say Simple and Robust; both are read.
METHODS: dict[str, Method] = {
    "Simple": "Simple",
    "Robust": "Robust",
    "linf_simple": "Simple",
    "linf_robust": "Robust",
}
CATEGORICAL_METHODS: dict[str, CategoricalMethod] = {
    "LInfinity": "LInfinity",
    "ChiSquared": "ChiSquared",
}
# What generated documents hold, and what counts where a document has none.
COMPARISON_THRESHOLD = 0.1
SWITCH = {"Enabled": True, "Disabled": False}
# Roles that say what a row is, not what is in it: in the statistics, but never judged for drift.
UNJUDGED_ROLES = frozenset({"id", "timestamp", "excluded", "weight"})
TYPES = ("Integral", "Fractional", "String", "Unknown", "Boolean")
# What the constraints of other kinds of monitor hold in place of "features".
OTHER_KINDS = {
    "binary_classification_constraints": "model quality",
    "multiclass_classification_constraints": "model quality",
    "regression_constraints": "model quality",
    "pre_training_bias_metrics": "bias",
    "post_training_bias_metrics": "bias",
    "explanations": "attribution",
}
# Where overrides of one feature stand: the documentation, real files, and the SDK disagree.
OVERRIDE_KEYS = ("monitoringConfigOverrides", "monitoring_config_overrides")
OVERRIDE_PLACES = ("string_constraints", "num_constraints")


@dataclass(frozen=True, slots=True)
class MonitoringConfig:
    """How windows are judged; the defaults are those of generated files."""

    # evaluate_constraints, emit_metrics, perform_comparison: Whether constraints are judged,
    # metrics put, and distributions compared at all.
    evaluate_constraints: bool = True
    emit_metrics: bool = True
    # datatype_check_threshold, domain_content_threshold: Smallest allowed share (0-1) of values
    # of the expected type, and inside the domain.
    datatype_check_threshold: float = 1.0
    domain_content_threshold: float = 1.0
    perform_comparison: bool = True
    # The comparison_threshold that somebody wrote; None where only a generator did.
    written_threshold: float | None = None
    # SageMaker's Simple or Robust, or the name of a distance (docs/distances.md), which then
    # decides in place of the drift test.
    comparison_method: str = "Robust"
    # Greatest allowed distance (0-1) of text; comparison_threshold when unset.
    categorical_comparison_threshold: float | None = None
    categorical_drift_method: CategoricalMethod = "LInfinity"  # SageMaker's distance of text.

    @property
    def comparison_threshold(self) -> float:
        """Largest allowed distance (0-1), generated or edited."""
        return COMPARISON_THRESHOLD if self.written_threshold is None else self.written_threshold

    @property
    def distance(self) -> str | None:
        """The distance that decides; None for the drift test, or SageMaker's with ``--compat``."""
        return None if self.comparison_method in METHODS else self.comparison_method

    def updated(self, found: Mapping[str, Any], *, where: str) -> MonitoringConfig:
        """Return the config with the settings of a ``monitoring_config`` or override block."""
        place = f"{where}.distribution_constraints"
        inner = _object(found.get("distribution_constraints", {}), place)
        changes = _read(found, SETTINGS, where)
        if isinstance(inner.get("enable_comparisons"), bool):  # A form of 2019.
            changes["perform_comparison"] = inner["enable_comparisons"]
        changes |= _read(inner, COMPARISON_SETTINGS, place)
        method = changes.get("comparison_method", self.comparison_method)
        limits = dict.fromkeys(LIMITS, _share if method in METHODS else _limit)
        thresholds = _read(inner, limits, place)
        if (method in METHODS) != (self.comparison_method in METHODS):
            # A limit in a distance's unit is no share, and a share no such limit.
            thresholds = dict.fromkeys(LIMITS) | thresholds
        if "comparison_threshold" in thresholds:
            thresholds["written_threshold"] = thresholds.pop("comparison_threshold")
        return replace(self, **changes, **thresholds)

    def to_dict(self) -> dict[str, Any]:
        """Return the block of a generated constraints.json."""
        return {
            "evaluate_constraints": _switched(self.evaluate_constraints),
            "emit_metrics": _switched(self.emit_metrics),
            "datatype_check_threshold": self.datatype_check_threshold,
            "domain_content_threshold": self.domain_content_threshold,
            "distribution_constraints": self._distribution(),
        }

    def _distribution(self) -> dict[str, Any]:
        return {
            "perform_comparison": _switched(self.perform_comparison),
            "comparison_threshold": self.comparison_threshold,
            "comparison_method": self.comparison_method,
        }

    @classmethod
    def of_document(cls, found: Mapping[str, Any]) -> MonitoringConfig:
        """Read a document's ``monitoring_config``; a generated threshold counts as not set.

        Generators write the same ``distribution_constraints`` into every document. The method for
        text may differ from theirs, since SageMaker's job writes the one it was started with.
        """
        config = cls().updated(found, where="monitoring_config")
        block = dict(found.get("distribution_constraints", {}))
        block.pop("categorical_drift_method", None)
        return replace(config, written_threshold=None) if block == cls()._distribution() else config


@dataclass(frozen=True, slots=True)
class FeatureConstraints:
    """The constraints of one column; None means that nothing is required."""

    name: str
    inferred_type: str = "Unknown"
    completeness: float | None = None  # Smallest share of rows (0-1) that hold a value.
    is_non_negative: bool | None = None
    domains: tuple[str, ...] | None = None  # The allowed texts.
    # The blocks that change the monitoring config for this column, in the order they apply.
    overrides: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Constraints:
    """A constraints document: a checked view, and the document itself with all its keys."""

    features: tuple[FeatureConstraints, ...]
    monitoring_config: MonitoringConfig  # What holds for columns without overrides.
    document: Mapping[str, Any]  # As read; to_json writes it, so that keys unknown to us survive.

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Constraints:
        """Check a document and keep a copy of it."""
        return cls._checked(copy.deepcopy(dict(found)))

    @classmethod
    def _checked(cls, found: Mapping[str, Any]) -> Constraints:
        features = found.get("features")
        if not isinstance(features, list):
            for key, kind in OTHER_KINDS.items():
                if key in found:
                    raise InputError(
                        f'constraints: these are {kind} constraints ("{key}"), which a check of '
                        "data quality does not read; give the folder of a data quality baseline"
                    )
            raise InputError('constraints: expected an object with a list "features"')
        config = _object(found.get("monitoring_config", {}), "monitoring_config")
        read = tuple(_feature(entry, index) for index, entry in enumerate(features))
        counts = Counter(feature.name for feature in read)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise InputError(f'constraints: feature "{twice[0]}" stands twice; expected it once')
        constraints = cls(
            features=read,
            monitoring_config=MonitoringConfig.of_document(config),
            document=found,
        )
        for feature in read:
            constraints.config(feature.name)
        return constraints

    @classmethod
    def from_json(cls, text: str | bytes) -> Constraints:
        """Read JSON text; see from_dict."""
        return cls._checked(_object(read_json(text, "constraints"), "constraints"))

    def to_json(self) -> str:
        """Write the document in the analyzer's layout."""
        return to_jackson(self.document)

    @cached_property
    def _by_name(self) -> dict[str, FeatureConstraints]:
        return {feature.name: feature for feature in self.features}

    def feature(self, name: str) -> FeatureConstraints | None:
        """Find the constraints of one column."""
        return self._by_name.get(name)

    def unmetered(self, names: Iterable[str]) -> frozenset[str]:
        """Return the columns without metrics, by config or by override."""
        return frozenset(name for name in names if not self.config(name).emit_metrics)

    def config(self, name: str) -> MonitoringConfig:
        """Return the monitoring config of one column, with its overrides."""
        config = self.monitoring_config
        feature = self.feature(name)
        for block in feature.overrides if feature else ():
            config = config.updated(block, where=f'feature "{name}": overrides')
        is_text = feature is not None and feature.inferred_type == "String"
        limits = (config.written_threshold, is_text and config.categorical_comparison_threshold)
        if config.distance is not None and not any(limits):
            raise InputError(
                f'constraints: feature "{name}": comparison_method is "{config.distance}" without '
                "a limit; expected comparison_threshold beside it"
            )
        return config


def _feature(entry: object, index: int) -> FeatureConstraints:
    found = _object(entry, f"features[{index}]")
    name = found.get("name")
    if not isinstance(name, str):
        raise InputError(f"constraints: features[{index}] has no name; expected a text")
    where = f'feature "{name}"'
    kind = found.get("inferred_type", "Unknown")
    if kind not in TYPES:
        raise InputError(
            f'constraints: {where}: inferred_type "{kind}"; expected {", ".join(TYPES)}'
        )
    numeric = _object(found.get("num_constraints", {}), f"{where}: num_constraints")
    text = _object(found.get("string_constraints", {}), f"{where}: string_constraints")
    domains = text.get("domains")
    if domains is not None and not isinstance(domains, list):
        raise InputError(f"constraints: {where}: domains {domains!r}; expected a list of texts")
    completeness = found.get("completeness")
    return FeatureConstraints(
        name=name,
        inferred_type=kind,
        completeness=None
        if completeness is None
        else _share(completeness, f"{where}: completeness"),
        is_non_negative=numeric.get("is_non_negative"),
        domains=None if domains is None else tuple(str(value) for value in domains),
        overrides=tuple(_overrides(found, where)),
    )


def _overrides(found: Mapping[str, Any], where: str) -> Sequence[Mapping[str, Any]]:
    places = [found, *(_object(found.get(place, {}), where) for place in OVERRIDE_PLACES)]
    return [
        _object(place[key], f"{where}: {key}")
        for place in places
        for key in OVERRIDE_KEYS
        if key in place
    ]


def _object(found: object, where: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise InputError(f"constraints: {where} is {found!r}; expected an object")
    return found


def _read(
    found: Mapping[str, Any], settings: Mapping[str, Callable[[object, str], Any]], where: str
) -> dict[str, Any]:
    """Return the checked values of the settings that a block has."""
    return {
        key: check(found[key], f"{where}.{key}") for key, check in settings.items() if key in found
    }


def _choice(known: Mapping[str, T], found: object, where: str) -> T:
    if not isinstance(found, str) or found not in known:
        raise InputError(f"constraints: {where} is {found!r}; expected {' or '.join(known)}")
    return known[found]


def _share(found: object, where: str) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise InputError(f"constraints: {where} is {found!r}; expected a number from 0 to 1")
    return float(found)


def _method(found: object, where: str) -> str:
    """Return SageMaker's method by either of its names, or the name of a distance.

    A missing package of a distance is an error only when a feature is judged by it, so that a
    baseline loads without it.
    """
    if isinstance(found, str) and found:
        return METHODS.get(found, found)
    raise InputError(
        f"constraints: {where} is {found!r}; expected Simple or Robust, or the name of a distance"
    )


def _limit(found: object, where: str) -> float:
    """Check the limit of a distance, in the distance's own unit."""
    if (
        isinstance(found, bool)
        or not isinstance(found, int | float)
        or not 0 < found <= sys.float_info.max
    ):
        raise InputError(f"constraints: {where} is {found!r}; expected a number above 0")
    return float(found)


# What a block may set, and how it is checked.
SETTINGS: Mapping[str, Callable[[object, str], Any]] = {
    "evaluate_constraints": partial(_choice, SWITCH),
    "emit_metrics": partial(_choice, SWITCH),
    "datatype_check_threshold": _share,
    "domain_content_threshold": _share,
}
COMPARISON_SETTINGS: Mapping[str, Callable[[object, str], Any]] = {
    "perform_comparison": partial(_choice, SWITCH),
    "comparison_method": _method,
    "categorical_drift_method": partial(_choice, CATEGORICAL_METHODS),
}
LIMITS = ("comparison_threshold", "categorical_comparison_threshold")


def _switched(value: object) -> str:
    return "Enabled" if value else "Disabled"


def is_compared(constraints: Constraints, column: Column) -> bool:
    """Whether a column's distribution is compared, if the baseline has counted it."""
    if column.role in UNJUDGED_ROLES or is_text_by_decree(constraints, column):
        return False
    return constraints.config(column.name).perform_comparison


def is_text_by_decree(constraints: Constraints, column: Column) -> bool:
    """Whether the constraints call text what the reference saw as numbers: no distance then."""
    constraint = constraints.feature(column.name)
    is_text = constraint is not None and constraint.inferred_type == "String"
    return is_text and column.type in ("int64", "double")
