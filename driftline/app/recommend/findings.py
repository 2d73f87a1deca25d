"""What the results of a load test come to: their costs, one recommendation, its report."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from driftline.app.recommend.load import FLAT
from driftline.app.recommend.trial import Cost, Result
from driftline.baseline.display import html_table
from driftline.errors import InputError, UndecidedError
from driftline.monitors.report.report_html import html_document
from driftline.validation import told

_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# Of a core: what processes use now and then beside the model is no reason for another core.
_SPARE_CORES = 0.1
# How the parts of a result are written, by column, and the columns of the two tables.
_FIGURES: Mapping[str, Mapping[str, str]] = {
    "candidate": {"configuration": "{.name}"},
    "peak": {
        "users": "{.users}", "calls/min": "{.invocations_per_minute:,.0f}", "±": "{.spread:.0%}",
        "p50 ms": "{.p50_ms:.2f}", "p95 ms": "{.p95_ms:.2f}", "p99 ms": "{.p99_ms:.2f}",
        "cores": "{.cpu_cores:.2f}", "MiB": "{.memory_mib:,.0f}",
    },
    "cold_start_ms": {"cold ms": "{:,.0f}"},
    "cost": {
        "machine": "{.machine}", "cost/hour": "{.per_hour:.4g}",
        "cost/million": "{.per_million:.3g}",
    },
}  # fmt: skip
_TABLES = (
    ("configuration", "users", "calls/min", "±", "p50 ms", "p95 ms", "p99 ms"),
    ("configuration", "cores", "MiB", "cold ms", "machine", "cost/hour", "cost/million"),
)
_TEXTS = ("configuration", "machine")


class Instance(BaseModel, extra="forbid"):
    """A machine that can be had, and its price."""

    name: str
    cores: _Amount
    memory_gib: _Amount
    per_hour: _Amount


class Prices(BaseModel, extra="forbid"):
    """A price table; ``per_gib_second``: of serverless workers, while they answer."""

    currency: str = ""
    instance: list[Instance] = []
    per_gib_second: _Amount | None = None

    @classmethod
    def read(cls, file: Path) -> Prices:
        """Read a TOML file."""
        try:
            return cls.model_validate(tomllib.loads(file.read_text("utf-8")))
        except ValidationError as error:
            raise InputError(f"{file}: {told(error.errors()[0])}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: cannot be read as a price table ({error})") from None

    def cost(self, result: Result) -> Cost | None:
        """Return what a peak costs; None where the table has no price for it.

        SageMaker's formula: CostPerInference = CostPerHour / (MaxInvocations * 60).
        """
        candidate, peak = result.candidate, result.peak
        if peak is None:
            return None
        calls_per_hour = peak.invocations_per_minute * 60
        if candidate.memory_mb is not None:
            if self.per_gib_second is None:
                return None
            per_call = candidate.memory_mb / 1024 * peak.p50_ms / 1000 * self.per_gib_second
            return Cost(per_call * calls_per_hour, per_call, "serverless")
        cores = max(candidate.cores, math.ceil(peak.cpu_cores - _SPARE_CORES))
        fitting = [
            (one.per_hour, one.name)
            for one in self.instance
            if one.cores >= cores and one.memory_gib * 1024 >= peak.memory_mib
        ]
        if not fitting:
            return None
        per_hour, name = min(fitting)
        return Cost(per_hour, per_hour / calls_per_hour, name)


@dataclass(frozen=True, slots=True)
class Findings:
    """All results of a model with their costs, and which one to take, why."""

    results: Sequence[Result]
    ranking: Sequence[Result]  # Those with a peak that could be compared, the best first.
    reason: str
    currency: str
    left_out: Sequence[str]

    @property
    def best(self) -> Result:
        """The recommended one."""
        return self.ranking[0]

    def tables(self) -> list[tuple[list[str], list[dict[str, str]]]]:
        """Return two tables: the columns that some row has, and a row for each result."""
        rows = [
            {
                column: style.format(part)
                for name, styles in _FIGURES.items()
                if (part := getattr(one, name))
                for column, style in styles.items()
            }
            for one in self.results
        ]
        known = {name for row in rows for name in row}
        return [([*filter(known.__contains__, names)], rows) for names in _TABLES]

    def document(self, name: str, model: str) -> dict[str, Any]:
        """Return all as JSON, with what declares the recommendation for a model's file."""
        return {
            "recommendation": self.best.candidate.name,
            "reason": self.reason,
            "currency": self.currency,
            "resources": replace(self.best.candidate, model=model).resources(name),
            "left_out": self.left_out,
            "results": [one.document for one in self.results],
        }

    def page(self, title: str) -> str:
        """Return the report as a page."""
        tables = "".join(
            html_table(
                [(name, name not in _TEXTS) for name in names],
                [[escape(row.get(name, "")) for name in names] for row in rows],
            )
            for names, rows in self.tables()
        )
        ends = (f"{one.candidate.name}: {one.ended}" for one in self.results)
        items = "".join(f"<li>{escape(one)}</li>" for one in (*ends, *self.left_out))
        return html_document(
            escape(title),
            f"<div><p><b>{escape(self.best.candidate.name)}</b> {escape(self.reason)}</p>{tables}"
            f"<details><summary>Why no more load</summary><ul>{items}</ul></details></div>",
        )


def recommend(measured: Sequence[Result], prices: Prices, left_out: Sequence[str] = ()) -> Findings:
    """Recommend the cheapest call, or without prices the configuration with the most calls.

    Of those within 5% of it, it is the one with the fewest threads.
    """
    results = [replace(one, cost=prices.cost(one)) for one in measured]
    costs = [(one.cost.per_inference, one) for one in results if one.cost is not None]
    rates = [(-one.peak.invocations_per_minute, one) for one in results if one.peak is not None]
    if not rates:
        why = "; ".join(f"{one.candidate.name}: {one.ended}" for one in results)
        raise UndecidedError(f"no configuration can be recommended: {why}")
    aims = sorted(costs or rates, key=itemgetter(0))
    least = aims[0][0]
    near = [one for aim, one in aims if aim <= least + FLAT * abs(least)]
    best = min(near, key=lambda one: one.candidate.cores)
    reason = f"the most invocations a minute ({-least:,.0f})"
    if costs:
        reason = f"the lowest cost ({1e6 * least:.3g} {prices.currency} a million invocations)"
    if others := ", ".join(one.candidate.name for one in near if one is not best):
        reason += f"; within {FLAT:.0%} of it is {others}"
    ranking = [best, *(one for _, one in aims if one is not best)]
    return Findings(results, ranking, reason, prices.currency, left_out)
