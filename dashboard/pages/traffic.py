"""The tab of an endpoint's traffic: what answers it, and what was captured, lost and refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from dash import html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.overview import captured_words
from driftline.dashboard.queries.fleet import EndpointView
from driftline.dashboard.queries.variants import Variant
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


def traffic_panels(view: EndpointView) -> list[ui.Cell]:
    """Show what answers, what was captured, lost and refused, and the requests of each window."""
    return [*_variants(view), *_captured(view)]


def _variants(view: EndpointView) -> list[ui.Cell]:
    said = [ui.faint(sentence(view.why_not_served), line=True)] if view.why_not_served else []
    if not view.served:
        return [ui.panel("Variants", said)] if said else []
    columns: dict[str, Callable[[Variant], ui.Cell]] = {
        "Variant": lambda one: html.Div([one.name, ui.faint(_role(one, view), line=True)]),
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
    body = ui.table(
        view.served, columns, label="Variants, with their last hour",
        numeric=tuple(columns)[2:],
    )  # fmt: skip
    return [ui.panel("Variants", [body, *said], note="metrics of the last hour")]


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


def _captured(view: EndpointView) -> list[ui.Cell]:
    stats = view.stats
    if stats is None:
        return [ui.panel("Captured", [ui.empty("The captured rows cannot be read now.")])]
    entries: list[tuple[str, ui.Cell]] = [
        ("Requests", count(stats.requests)),
        ("Rows", count(stats.rows)),
        ("Captured", captured_words(stats.overall.ratio)),
        ("Last 24 hours", f"{count(stats.recent.stored)} requests, "
                          f"{captured_words(stats.recent.ratio)} captured"),
        ("Lost", _lost(view)),
        ("Answered with 400 or more", count(stats.failed)),
        ("Newest", ui.when(stats.newest, view.now) if stats.newest else "–"),
        ("Size", f"{bytes_text(stats.size_bytes)} in {plural(stats.files, 'file')}"),
    ]  # fmt: skip
    entries += [(f"Not readable: {why}", count(several)) for why, several in stats.unparsed.items()]
    parts: list[ui.Cell] = [ui.panel("Captured", [ui.facts(entries, "facts wide")])]
    line = next((one for one in view.line.monitors if any(r.request_count for r in one.runs)), None)
    if line is not None:
        body = ui.table(
            line.runs[::-1],
            {
                "Window": lambda run: html.A(
                    span(run), href=monitor_link(line.name, window=run.stamp)
                ),
                "Requests": lambda run: count(run.request_count),
                "Rows": lambda run: count(run.row_count),
            },
            label=f"Requests by window of {line.name}",
            kind="cards tall",
            numeric=("Requests", "Rows"),
        )
        parts.append(ui.panel(f"By window of {line.name}", [body]))
    return parts


def _lost(view: EndpointView) -> ui.Cell:
    stats, words = view.stats, list[str]()
    assert stats is not None
    dropped = stats.overall.dropped
    if dropped or stats.faults or stats.cut:
        words.append(f"{captured_words(stats.overall.ratio)} stored")
    reasons: Counter[str] = Counter()
    for gap in stats.gaps:
        if gap.records:
            reasons[gap.reason] += gap.records
    words += [f"{reason} {count(lost)}" for reason, lost in reasons.most_common()]
    unknown = sorted({gap.reason for gap in stats.gaps if gap.records is None})
    words += [f"{reason}, how many is not known" for reason in unknown]
    words += [
        f"{count(several)} {what}"
        for several, what in (
            (stats.faults, "not decoded (decoder fault)"),
            (stats.cut, "not decoded (body cut)"),
            (view.unaccounted, "unaccounted for"),
        )
        if several
    ]
    if not words:
        return count(dropped)
    has_lost = dropped or unknown or stats.faults or stats.cut or view.unaccounted
    lost = html.Span(count(dropped), className="alarm-text" if has_lost else "")
    return html.Div([lost, ui.faint("; ".join(words), line=True)])
