"""What the results of a load test come to: the Pareto front, one recommendation, its report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

from driftline.app.recommend.phases import FLAT
from driftline.app.recommend.trial import Result
from driftline.baseline.display import html_table
from driftline.errors import UndecidedError
from driftline.monitors.report.report_html import html_document

RATES = ("configuration", "users", "calls/min", "±", "p50 ms", "p95 ms", "p99 ms", "front")
RESOURCES = ("configuration", "cores", "MiB", "cold ms", "machine", "cost/hour", "cost/million")
_TEXTS = ("configuration", "front", "machine")


@dataclass(frozen=True)
class Findings:
    """All results of a model, which of them no other one beats, and the one to take."""

    results: Sequence[Result]
    left_out: Sequence[str] = ()  # Why another runtime was not tried.
    currency: str = ""

    @property
    def front(self) -> list[Result]:
        """Those that no other one equals in rate, P95 and cost (without prices: CPU) and beats."""
        aims = [(one, self._aims(one)) for one in self.results if one.peak is not None]
        return [
            one
            for one, mine in aims
            if not any(its != mine and all(a <= b for a, b in zip(its, mine, strict=True))
                       for _, its in aims)
        ]  # fmt: skip

    def _aims(self, one: Result) -> tuple[float, float, float]:
        """Return what is better when it is less."""
        assert one.peak is not None
        rate, cost = one.peak.invocations_per_minute, one.peak.cpu_cores
        if any(other.cost is not None for other in self.results):
            return -rate, one.peak.p95_ms, math.inf if one.cost is None else one.cost.per_inference
        return -rate, one.peak.p95_ms, cost / rate

    @property
    def best(self) -> tuple[Result, str]:
        """The recommendation and its reason: the cheapest call, or without prices the most calls.

        Of those on the front within 5% of it, the one with the fewest threads of a model.
        """
        front = self.front
        if not front:
            why = "; ".join(f"{one.candidate.name}: {one.ended}" for one in self.results)
            raise UndecidedError(f"no configuration can be recommended: {why}")
        is_priced = any(one.cost is not None for one in front)
        aims = {id(one): self._aims(one)[2 if is_priced else 0] for one in front}
        least = min(aims.values())
        near = [one for one in front if aims[id(one)] <= least + FLAT * abs(least)]
        best = min(near, key=lambda one: one.candidate.workers * one.candidate.threads)
        aim = f"the most invocations a minute ({-least:,.0f})"
        if is_priced:
            aim = f"the lowest cost ({1e6 * least:.3g} {self.currency} a million invocations)"
        others = ", ".join(one.candidate.name for one in near if one is not best)
        return best, f"{aim}; within {FLAT:.0%} of it is {others}" if others else aim

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of the tables for each result."""
        front = self.front
        found = []
        for one in self.results:
            row: dict[str, Any] = {"configuration": one.candidate.name}
            if (peak := one.peak) is not None:
                row |= {
                    "users": peak.users, "calls/min": f"{peak.invocations_per_minute:,.0f}",
                    "±": f"{peak.spread / 2:.0%}", "p50 ms": f"{peak.p50_ms:.2f}",
                    "p95 ms": f"{peak.p95_ms:.2f}", "p99 ms": f"{peak.p99_ms:.2f}",
                    "front": "*" if one in front else "", "cores": f"{peak.cpu_cores:.2f}",
                    "MiB": f"{peak.memory_mib:,.0f}",
                }  # fmt: skip
            if one.cold_start_ms is not None:
                row["cold ms"] = f"{one.cold_start_ms:,.0f}"
            if one.cost is not None:
                row |= {
                    "machine": one.cost.machine, "cost/hour": f"{one.cost.per_hour:.4g}",
                    "cost/million": f"{1e6 * one.cost.per_inference:.3g}",
                }  # fmt: skip
            found.append(row)
        return found

    def columns(self) -> list[list[str]]:
        """Return the columns of the two tables, those that some row has."""
        known = {name for row in self.rows() for name in row}
        return [[name for name in names if name in known] for names in (RATES, RESOURCES)]

    def document(self, name: str, model: str) -> dict[str, Any]:
        """Return all as JSON, with what declares the recommendation for a model's file."""
        (best, reason), front = self.best, self.front
        return {
            "recommendation": best.candidate.name, "reason": reason, "currency": self.currency,
            "resources": replace(best.candidate, model=model).resources(name),
            "left_out": self.left_out,
            "results": [
                {"configuration": one.candidate.name, "is_on_front": one in front, **asdict(one)}
                for one in self.results
            ],
        }  # fmt: skip

    def page(self, title: str) -> str:
        """Return the report as a page."""
        (best, reason), rows = self.best, self.rows()
        tables = "".join(
            html_table(
                [(name, name not in _TEXTS) for name in names],
                [[escape(str(row.get(name, ""))) for name in names] for row in rows],
            )
            for names in self.columns()
        )
        ends = (f"{one.candidate.name}: {one.ended}" for one in self.results)
        items = "".join(f"<li>{escape(one)}</li>" for one in (*ends, *self.left_out))
        return html_document(
            title,
            f"<div><p><b>{escape(best.candidate.name)}</b> {escape(reason)}</p>{self._picture()}"
            f"{tables}<details><summary>Why no more load</summary><ul>{items}</ul></details></div>",
        )

    def _picture(self) -> str:
        """Draw each result by its rate and P95: the recommendation, the front, the others."""
        points = [(one, one.peak) for one in self.results if one.peak is not None]
        right = max(peak.invocations_per_minute for _, peak in points)
        top, best, front = max(peak.p95_ms for _, peak in points), self.best[0], self.front
        dots = ""
        for one, peak in points:
            x, y = 540 * peak.invocations_per_minute / right, 260 - 230 * peak.p95_ms / top
            fill = "#d9661f" if one is best else "#4a90c2" if one in front else "none"
            dots += f'<circle cx="{40 + x:.0f}" cy="{y:.0f}" r="6" fill="{fill}" stroke="#4a90c2">'
            dots += f"<title>{escape(one.candidate.name)}</title></circle>"
        return (
            '<svg viewBox="0 0 620 290" width="620" role="img" fill="currentColor" font-size="12">'
            '<path d="M40 10V260H600" fill="none" stroke="currentColor"/>'
            f'<text x="46" y="20">P95 {top:.3g} ms</text><text x="600" y="280" text-anchor="end">'
            f"{right:,.0f} invocations a minute</text>{dots}</svg>"
        )
