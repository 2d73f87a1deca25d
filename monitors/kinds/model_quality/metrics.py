"""Metrics of model quality as functions of sums, in one table for the engine.

A new metric is a line of `SPECS` and one of `_of_classes` or `_of_numbers`.

References
----------
Murphy, Monthly Weather Review 101, 1973 (Brier skill); Saerens, Latinne and Decaestecker, Neural
Computation 14, 2002 (the same scores at another rate of classes).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.engine.metric import (
    COMPLEMENT,
    PLAIN,
    ROOT,
    SQUARE,
    Array,
    Form,
    Metric,
    MetricSet,
)
from driftline.monitors.engine.sums import harmonic, ratio
from driftline.monitors.kinds.model_quality.costs import COST
from driftline.monitors.kinds.model_quality.documents import Constraint
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    LEVEL_METRICS,
    PINBALL,
    WIDTH,
    is_coverage,
    quantile_rows,
)
from driftline.monitors.kinds.model_quality.sums import ERROR_COLUMNS, REST, WEIGHT, QualitySums
from driftline.monitors.kinds.model_quality.values import BETAS, CLASS_METRICS

TOLERANCE, ERROR_TOLERANCE = 0.02, 0.05
# A bound ten times as bad as the reference is none.
FAR_WORSE = 10.0


def _error(name: str) -> Metric:
    return Metric(name, "error", 1, ERROR_TOLERANCE, FAR_WORSE, relative=True)


def _skill(name: str) -> Metric:
    """Return a skill, which is tested as what is left of the error: 1 - skill."""
    return Metric(name, "error", 1, TOLERANCE, FAR_WORSE, form=COMPLEMENT)


def _share(name: str, *, lattice: bool = True) -> Metric:
    return Metric(name, lattice=lattice)


SPECS = {
    one.name: one
    for one in (
        *map(_share, ("accuracy", "precision", "recall", "true_negative_rate", *BETAS)),
        *(_share(name, lattice=False) for name in (
            "balanced_accuracy", "weighted_precision", *(f"weighted_{beta}" for beta in BETAS),
            "macro_precision", "macro_recall", "macro_f1",
        )),
        *(Metric(name, useless=0.5) for name in ("auc", "macro_auc", "weighted_auc")),
        *map(_skill, ("brier_skill", "accuracy_skill", "r2")),
        *map(_error, ("brier", "log_loss", "mae", "mape", "smape", PINBALL)),
        replace(_error("rmse"), useless=FAR_WORSE**2, form=ROOT),  # It is tested as its square.
        Metric("mean_error", "plain", 0, ERROR_TOLERANCE, 1e9),
        Metric(COST, "plain", 1, ERROR_TOLERANCE, 1e9, relative=True),
    )
}  # fmt: skip


# Metrics that say the same as another one: which, and how its displayed value becomes theirs.
ALIASES = {
    "true_positive_rate": ("recall", PLAIN),
    "false_negative_rate": ("recall", COMPLEMENT),
    "false_positive_rate": ("true_negative_rate", COMPLEMENT),
    "weighted_recall": ("accuracy", PLAIN),
    "mse": ("rmse", SQUARE),
}


def base_of(name: str) -> tuple[str, Form]:
    """Return the metric that is tested for one, and how its displayed value becomes that one's."""
    return ALIASES.get(name, (name, PLAIN))


def aliased(name: str, value: float) -> float:
    """Convert the displayed value of a base metric to that of one that says the same."""
    return float(base_of(name)[1].show(np.array(value)))


def is_worse_above(name: str) -> bool:
    """Whether larger displayed values are worse."""
    base, form = base_of(name)
    metric = _spec(base)
    return (metric.worse > 0) != (metric.form.is_turned != form.is_turned)


def base_side(name: str, constraint: Constraint) -> int:
    """Return which way the base metric's displayed value is worse, by a constraint; 0: both."""
    if constraint.is_two_sided:
        return 0
    return -1 if constraint.is_lower != base_of(name)[1].is_turned else 1


@dataclass(frozen=True, eq=False)
class QualityMetrics:
    """Metrics of one problem over its sums.

    Parameters
    ----------
    sums
        What is summed.
    rates
        The reference's share of each class, (C,), at which Brier skill is measured.
    losses
        The reference's mean squared error of probabilities by class, (C,), for classes that a
        window lacks.
    class_names
        Metrics of single classes to measure, such as "recall[cat]": class and metric by name.
    """

    sums: QualitySums
    rates: Array
    losses: Array
    class_names: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, sums: QualitySums, total: Array, shown: Collection[tuple[str, str]]
    ) -> QualityMetrics:  # fmt: skip
        """Fix the metrics by the reference's sums, (K,), and asked pairs of class and metric."""
        count = sums.class_count
        label, loss = total[:count], total[3 * count : 4 * count]
        names = {f"{metric}[{name}]": (sums.classes.index(name), metric)
                 for name, metric in shown if name in sums.classes}  # fmt: skip
        return cls(sums, label / max(label.sum(), 1e-9), loss / np.maximum(label, 1e-9), names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The metrics in order."""
        return tuple(self._measured(np.zeros(self.size)))

    @property
    def size(self) -> int:
        """How many sums there are: K."""
        if self.sums.problem == "regression":
            return len(ERROR_COLUMNS) + len(self._quantile_names)
        return 4 * self.sums.class_count + REST + self.sums.targets * 2 * self.sums.bins

    def metric_set(self, judged: Mapping[str, int]) -> MetricSet:
        """Return the metrics as the engine takes them.

        `judged` names those that have a threshold by the reference, and which way is worse as they
        are displayed.
        """
        metrics = []
        for name in self.names:
            plain = replace(_spec(name), judged=name in judged)
            plain = replace(plain, lattice=plain.lattice and self.sums.unit == 1.0)
            if plain.judged:
                side = judged[name]
                plain = replace(plain, worse=-side if plain.form.is_turned else side)
                if side >= 0 and plain.scale == "share":
                    plain = replace(plain, useless=1.0)  # It may grow up to that.
            metrics.append(plain)
        return MetricSet(metrics, self.measure, self.support, guess=self.guess, under=self.under)

    def measure(self, sums: Array) -> Array:
        """Return every metric in its tested form, (..., K) to (..., M)."""
        return np.stack(list(self._measured(sums).values()), axis=-1)

    def displayed(self, total: Array) -> dict[str, float]:
        """Return every metric of sums (K,) as it is shown, and those that say the same."""
        tested = dict(zip(self.names, self.measure(total), strict=True))
        found = {name: float(_spec(name).form.show(value)) for name, value in tested.items()}
        found |= {name: aliased(name, found[base]) for name, (base, _) in ALIASES.items()
                  if base in found}  # fmt: skip
        if "rmse" in tested:
            found["mse"] = float(tested["rmse"])  # To the last digit.
        if self.sums.problem == "binary":
            del found["weighted_recall"]
            label, _, hits, _ = self._parts(total)
            wrong = ratio(label - hits, label).tolist()
            found |= zip(("false_positive_rate", "false_negative_rate"), wrong, strict=True)
        return found

    def support(self, sums: Array) -> Array:
        """Return the rows that each metric rests on, (..., M)."""
        at, rows = WEIGHT, sums[..., 0]
        found = dict.fromkeys(self.names, rows)
        if not self._is_number:
            at = 4 * self.sums.class_count + REST - 1
            rows, found = sums[..., : self.sums.class_count].sum(axis=-1), self._class_support(sums)
        # Weighted rows are worth as many as Kish counts (Survey Sampling, 1965).
        worth = ratio(rows, sums[..., at])
        return np.stack(
            [np.nan_to_num(found[name] * worth) for name in self.names],
            axis=-1,
        )

    def under(self, sums: Array) -> Array:
        """Return what skills divide by, (..., M); 1 for others."""
        found = np.ones((*sums.shape[:-1], len(self.names)))
        if self._is_number:
            rows, label, squares = (sums[..., ERROR_COLUMNS.index(one)]
                                    for one in ("rows", "label", "label_squared"))  # fmt: skip
            found[..., self.names.index("r2")] = ratio(squares, rows) - ratio(label, rows) ** 2
        elif "accuracy_skill" in self.names:
            label = sums[..., : self.sums.class_count]
            found[..., self.names.index("accuracy_skill")] = 1.0 - ratio(
                label.max(axis=-1), label.sum(axis=-1)
            )
        return found

    def guess(self, total: Array) -> Array:
        """Return what the same answers come to in random order, (M,); skills are then 0."""
        if self._is_number:
            found = dict.fromkeys(self.names, np.nan)
            rows, label, squares = (total[ERROR_COLUMNS.index(one)]
                                    for one in ("rows", "label", "label_squared"))  # fmt: skip
            spread = squares / max(rows, 1e-9) - (label / max(rows, 1e-9)) ** 2
            found |= {"rmse": max(spread, 0.0), "r2": 1.0}
        else:
            found = {
                name: float(value) for name, value in self._measured(self._dealt(total)).items()
            }
            found |= {name: np.nan for name in found if "auc" in name}
            found |= {name: np.nan for name in ("brier", "log_loss") if name in found}
            found |= {name: 1.0 for name in ("brier_skill",) if name in found}
        return np.array([found[name] for name in self.names])

    def _dealt(self, total: Array) -> Array:
        """Return the sums as they are when answers do not depend on labels."""
        count, dealt = self.sums.class_count, total.copy()
        label, said = total[:count], total[count : 2 * count]
        rows = max(float(label.sum()), 1e-9)
        dealt[2 * count : 3 * count] = label * said / rows
        if self.sums.prices is not None:
            dealt[4 * count + 1] = float(label @ self.sums.prices @ said) / rows
        return dealt

    @property
    def _is_number(self) -> bool:
        return self.sums.problem == "regression"

    @cached_property
    def _quantile_names(self) -> tuple[str, ...]:
        levels = self.sums.levels
        none = np.zeros(0), np.zeros((0, len(levels)))
        return tuple(quantile_rows(*none, levels)) if levels else ()

    def _measured(self, sums: Array) -> dict[str, Array]:
        return self._of_numbers(sums) if self._is_number else self._of_classes(sums)

    def _of_numbers(self, sums: Array) -> dict[str, Array]:
        of = {name: sums[..., at] for at, name in enumerate(ERROR_COLUMNS)}
        rows = of["rows"]
        spread = of["label_squared"] - ratio(of["label"] ** 2, rows)
        found = {
            "mae": ratio(of["absolute"], rows),
            "rmse": ratio(of["squared"], rows),
            "r2": ratio(of["squared"], np.where(spread > 1e-12 * of["label_squared"], spread, 0.0)),
            "mape": np.where(of["zero"] > 0, np.nan, ratio(of["relative"], rows)),
            "smape": ratio(of["symmetric"], rows),
            "mean_error": ratio(of["error"], rows),
        }
        for at, name in enumerate(self._quantile_names, len(ERROR_COLUMNS)):
            found[name] = ratio(sums[..., at], rows)
        return found

    def _parts(self, sums: Array) -> tuple[Array, Array, Array, Array]:
        count = self.sums.class_count
        label, said, hits, losses = (sums[..., at * count : (at + 1) * count] for at in range(4))
        return label, said, hits, losses

    def _of_classes(self, sums: Array) -> dict[str, Array]:
        label, said, hits, _ = self._parts(sums)
        rows, right = label.sum(axis=-1), hits.sum(axis=-1)
        recall, held = ratio(hits, label), label + said > 0
        # Of each class, (..., C); F of beta 0 is precision.
        each = {name: ratio(*_f_score(hits, label, said, beta))
                for name, beta in {"precision": 0.0, **BETAS}.items()}  # fmt: skip
        found = {"accuracy": ratio(right, rows)}
        if self.sums.problem == "binary":
            found |= {"recall": recall[..., 1], "true_negative_rate": recall[..., 0]}
            found |= {name: one[..., 1] for name, one in each.items()}
            found["balanced_accuracy"] = recall.mean(axis=-1)
        else:
            for name, one in each.items():
                weighted = (label * np.nan_to_num(one)).sum(axis=-1)
                found[f"weighted_{name}"] = ratio(weighted, rows)
            found["balanced_accuracy"] = _mean_over(recall, label > 0)
            found["accuracy_skill"] = ratio(rows - right, rows - label.max(axis=-1))
            for name, one in {**each, "recall": recall}.items():
                if name in CLASS_METRICS:
                    found[f"macro_{name}"] = _mean_over(one, held)
        found |= self._of_scores(sums)
        for name, (at, metric) in self.class_names.items():
            if metric != "auc":
                found[name] = {**each, "recall": recall}[metric][..., at]
            elif self.sums.targets > 1:
                found[name] = self._areas(sums)[..., at]
        return found

    def _of_scores(self, sums: Array) -> dict[str, Array]:
        """Return metrics of probabilities, and cost."""
        label, _, _, losses = self._parts(sums)
        rows, at = label.sum(axis=-1), 4 * self.sums.class_count
        found = {}
        if self.sums.targets == 1:
            found["auc"] = self._areas(sums)[..., 0]
        elif self.sums.targets:
            areas = self._areas(sums)
            held = np.isfinite(areas)
            found["macro_auc"] = _mean_over(areas, held)
            weighted = np.where(held, np.nan_to_num(areas) * label, 0.0).sum(axis=-1)
            found["weighted_auc"] = ratio(weighted, np.where(held, label, 0.0).sum(axis=-1))
        if self.sums.has_chances:
            each = np.where(label > 0, np.nan_to_num(ratio(losses, label)), self.losses)
            base = float((self.rates * (1.0 - self.rates)).sum())
            base /= 2.0 if self.sums.problem == "binary" else 1.0
            at_rates = (self.rates * each).sum(axis=-1)
            found["brier"] = ratio(losses.sum(axis=-1), rows)
            found["brier_skill"] = ratio(np.where(rows > 0, at_rates, np.nan), np.array(base))
            found["log_loss"] = ratio(sums[..., at], rows)
        if self.sums.prices is not None:
            found[COST] = ratio(sums[..., at + 1], rows)
        return found

    def _areas(self, sums: Array) -> Array:
        """Return each target's area under the ROC curve, (..., T): ties within a bin count half."""
        start = 4 * self.sums.class_count + REST
        shape = (*sums.shape[:-1], self.sums.targets, 2, self.sums.bins)
        counts = sums[..., start:].reshape(shape)
        negatives, positives = counts[..., 0, :], counts[..., 1, :]
        below = np.cumsum(negatives, axis=-1) - negatives / 2.0
        return ratio(
            (positives * below).sum(axis=-1), positives.sum(axis=-1) * negatives.sum(axis=-1)
        )

    def _class_support(self, sums: Array) -> dict[str, Array]:
        label, said, hits, _ = self._parts(sums)
        rows = label.sum(axis=-1)
        found = dict.fromkeys(self.names, rows)
        if self.sums.problem == "binary":
            negative, positive, yes, both = (
                label[..., 0], label[..., 1], said[..., 1], hits[..., 1]
            )  # fmt: skip
            sides = harmonic(negative, positive)
            found |= {"recall": positive, "precision": yes, "true_negative_rate": negative,
                      "auc": sides, "balanced_accuracy": sides}  # fmt: skip
            for name, beta in BETAS.items():
                _, under = _f_score(both, positive, yes, beta)
                found[name] = under / (1.0 + beta * beta)
        # Class means at the reference's rates: 1 / support = sum of rates^2 / rows of the class.
        inverse = (self.rates**2 * np.where(label > 0, ratio(np.ones(()), label), 0.0)).sum(axis=-1)
        found["brier_skill"] = ratio(np.ones(()), inverse)
        for name, (at, metric) in self.class_names.items():
            own, others = label[..., at], rows - label[..., at]
            found[name] = {"recall": own, "precision": said[..., at], "auc": harmonic(own, others),
                           "f1": (own + said[..., at]) / 2.0}[metric]  # fmt: skip
        return found


def _f_score(hits: Array, label: Array, said: Array, beta: float) -> tuple[Array, Array]:
    square = beta * beta
    return (1.0 + square) * hits, square * label + said


def _mean_over(values: Array, chosen: NDArray[np.bool_]) -> Array:
    """Return the mean over chosen classes, of which a missing value counts as 0."""
    total = np.where(chosen, np.nan_to_num(values), 0.0).sum(axis=-1)
    return ratio(total, chosen.sum(axis=-1))


def _spec(name: str) -> Metric:
    """Return what the engine knows of a metric; of one class or level, as of its kind."""
    if name in SPECS:
        return SPECS[name]
    kind = name.partition("[")[0]
    if is_coverage(name):
        return Metric(name, worse=0, lattice=True)
    if kind == WIDTH:
        return Metric(name, "plain", 0, ERROR_TOLERANCE, 1e9, relative=True)
    assert kind in SPECS or kind in LEVEL_METRICS  # Names are checked where they are read.
    return replace(SPECS[kind], name=name)
