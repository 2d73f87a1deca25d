"""The tab of an endpoint's traffic: what answers it, and what was captured, lost and refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from dash import html

from driftline.capture.audit.report import EndpointReport
from driftline.dashboard.address import monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.overview import captured_words
from driftline.dashboard.queries.fleet import EndpointView
from driftline.dashboard.queries.variants import Variant
from driftline.dashboard.queries.views import MonitorLine
from driftline.dashboard.words import bytes_text, count, number, percent, plural, sentence, span

# Columns of variants: heading, metric and statistic, and what one of the metric's units is there.
_MEASURED = (
    ("Model p50, ms", ("ModelLatency", "p50"), 1e3),
    ("Model p99, ms", ("ModelLatency", "p99"), 1e3),
    ("Overhead p99, ms", ("OverheadLatency", "p99"), 1e3),
    ("CPU, % of a core", ("CPUUtilization", "Average"), 1.0),
    ("Memory, %", ("MemoryUtilization", "Maximum"), 1.0),
    ("Models loaded", ("LoadedModelCount", "Maximum"), 1.0),
)


def traffic_panels(view: EndpointView) -> list[ui.Cell | None]:
    """Show what answers, what was captured, lost and refused, and the requests of each window."""
    monitors = (one for one in view.line.monitors if any(r.request_count for r in one.runs))
    line = next(monitors, None)
    return [_variants(view), _captured(view), _by_window(line) if line is not None else None]


def _variants(view: EndpointView) -> html.Section | None:
    said = ui.faint(sentence(view.why_not_served), line=True) if view.why_not_served else None
    if not view.served:
        return None if said is None else ui.panel("Variants", [said])
    columns: dict[str, Callable[[Variant], ui.Cell]] = {
        "Variant": lambda one: ui.over(one.name, _role(one, view)),
        "Model": lambda one: one.model or "–",
        "Share": lambda one: percent(one.share),
        "Workers": lambda one: count(one.worker_count),
        "Requests": lambda one: count(round(one.measured.get(("Invocations", "Sum"), 0))),
        "4xx": lambda one: percent(one.measured.get(("Invocation4XXErrors", "Average"))),
        "5xx": lambda one: percent(one.measured.get(("Invocation5XXErrors", "Average"))),
    }
    for head, key, unit in _MEASURED:
        if any(key in one.measured for one in view.served):
            columns[head] = partial(_measured, key=key, unit=unit)
    label, numeric = "Variants, with their last hour", tuple(columns)[2:]
    body = ui.table(view.served, columns, label=label, numeric=numeric)
    return ui.panel("Variants", [body, said], note="metrics of the last hour")


def _role(variant: Variant, view: EndpointView) -> str:
    """Name a shadow, a variant that only metrics know, and what is wrong with one."""
    if variant.problem:
        return sentence(variant.problem)
    if variant.is_shadow:
        return "a shadow: answers copies, and no caller"
    return "no longer declared" if variant.share is None and not view.why_not_served else ""


def _measured(variant: Variant, *, key: tuple[str, str], unit: float) -> str:
    value = variant.measured.get(key)
    return "–" if value is None else number(value / unit)


def _captured(view: EndpointView) -> html.Section:
    stats = view.stats
    if stats is None:
        return ui.panel("Captured", [ui.empty("The captured rows cannot be read now.")])
    recent = captured_words(stats.recent.ratio)
    values = {
        "Requests": count(stats.requests),
        "Rows": count(stats.rows),
        "Captured": captured_words(stats.overall.ratio),
        "Last 24 hours": f"{count(stats.recent.stored)} requests, {recent} captured",
        "Lost": _lost(stats, view.unaccounted),
        "Answered with 400 or more": count(stats.failed),
        "Newest": ui.when(stats.newest, view.now) if stats.newest else "–",
        "Size": f"{bytes_text(stats.size_bytes)} in {plural(stats.files, 'file')}",
        **{f"Not readable: {why}": count(many) for why, many in stats.unparsed.items()},
    }
    return ui.panel("Captured", [ui.facts(values, "facts wide")])


def _by_window(line: MonitorLine) -> html.Section:
    return ui.list_panel(
        f"By window of {line.name}",
        line.runs[::-1],
        {
            "Window": lambda run: html.A(span(run), href=monitor_link(line.name, window=run.stamp)),
            "Requests": lambda run: count(run.request_count),
            "Rows": lambda run: count(run.row_count),
        },
        "",
        label=f"Requests by window of {line.name}",
        kind="cards tall",
        numeric=("Requests", "Rows"),
    )


def _lost(stats: EndpointReport, unaccounted: int) -> ui.Cell:
    words, dropped = list[str](), stats.overall.dropped
    if dropped or stats.faults or stats.cut:
        words.append(f"{captured_words(stats.overall.ratio)} stored")
    reasons: Counter[str] = Counter()
    for gap in stats.gaps:
        if gap.records:
            reasons[gap.reason] += gap.records
    words += [f"{reason} {count(lost)}" for reason, lost in reasons.most_common()]
    unknown = sorted({gap.reason for gap in stats.gaps if gap.records is None})
    words += [f"{reason}, how many is not known" for reason in unknown]
    others = {
        "not decoded (decoder fault)": stats.faults,
        "not decoded (body cut)": stats.cut,
        "unaccounted for": unaccounted,
    }
    words += [f"{count(several)} {what}" for what, several in others.items() if several]
    if not words:
        return count(dropped)
    has_lost = dropped or unknown or any(others.values())
    lost = html.Span(count(dropped), className="alarm-text" if has_lost else "")
    return ui.over(lost, "; ".join(words))
