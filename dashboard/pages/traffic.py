"""An endpoint's traffic and capture on the pages: variants, counts, and all by hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from dash import html

from driftline.alerts.metrics.variants import Variant
from driftline.capture.audit.report import EndpointReport
from driftline.capture.audit.traffic import Requests, Traffic
from driftline.dashboard import words as say
from driftline.dashboard.address import RANGE, alarm_link
from driftline.dashboard.charts.traffic import traffic_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.overview import captured_words
from driftline.dashboard.queries.fleet import EndpointView
from driftline.dashboard.queries.storage import TRAFFIC_S, TRAFFIC_SHOWN
from driftline.sizes import bytes_text

SUMS = ("stored", "refused", "lost")
MEANING = (
    "Hours are those of the events. Answered by the server: as it counts its invocations, by its "
    "own clock. Refused: answered with 400 or more, or not at all. Lost: as gaps tell. Duplicates: "
    "stored more than once. Lag: from a request's event to its arrival. Latency: as its caller saw."
)
UNREADABLE = "The captured rows cannot be read now."
NO_CLIENT = (
    "Clients are not known: capture keeps no address and no name of a caller. With user-agent in "
    "[capture] headers it keeps what a client says of itself, which is then listed here."
)

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
    """Show what answers, what was captured, lost and refused, and all of it by hour."""
    return [_deployment(view), _variants(view), _captured(view), _by_hour(view)]


def _deployment(view: EndpointView) -> html.Section | None:
    """Show how far the deployment is, or how the last one ended."""
    found = view.deployment
    if found is None:
        return None
    ended, latest = found["ended_at"], datetime.fromisoformat(found["deadline"])
    alarms = [html.Div(html.A(one, href=alarm_link(one))) for one in found["alarms"]]
    values = {
        "Stage": f"{found['stage']}, step {found['step']} of {found['steps']}",
        "Generation": f"{found['old_generation']} to {found['generation']}",
        "New workers get": f"{say.percent(found['share'])} of the requests",
        "Since": ui.when(datetime.fromisoformat(found["since"]), view.now),
        "Ends at the latest": None if ended else say.moment(latest),
        "Ended": ui.when(datetime.fromisoformat(ended), view.now) if ended else None,
        "Alarms": html.Div(alarms) if alarms else "none",
        "Why": say.sentence(found["reason"]) if found["reason"] else None,
    }
    return ui.panel("Deployment", [ui.facts(values, "facts wide")])


def _variants(view: EndpointView) -> html.Section | None:
    said = ui.faint(say.sentence(view.why_untold), line=True) if view.why_untold else None
    if not view.served:
        return None if said is None else ui.panel("Variants", [said])
    columns: dict[str, Callable[[Variant], ui.Cell]] = {
        "Variant": lambda one: ui.over(one.name, _role(one, view)),
        "Model": lambda one: one.model or "–",
        "Share": lambda one: say.percent(one.share),
        "Workers": lambda one: say.count(one.worker_count),
        "Requests": lambda one: say.count(round(one.measured.get(("Invocations", "Sum"), 0))),
        "4xx": lambda one: say.percent(one.measured.get(("Invocation4XXErrors", "Average"))),
        "5xx": lambda one: say.percent(one.measured.get(("Invocation5XXErrors", "Average"))),
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
        return say.sentence(variant.problem)
    if (found := view.deployment) and not found["ended_at"] and variant.share is not None:
        return "new workers" if variant.is_new else "old workers"
    if variant.is_shadow:
        return "a shadow: answers copies, and no caller"
    return "no longer declared" if variant.share is None and not view.why_untold else ""


def _measured(variant: Variant, *, key: tuple[str, str], unit: float) -> str:
    value = variant.measured.get(key)
    return "–" if value is None else say.number(value / unit)


def _captured(view: EndpointView) -> html.Section:
    stats = view.stats
    if stats is None:
        return ui.panel("Captured", UNREADABLE)
    recent = captured_words(stats.recent.ratio)
    values = {
        "Requests": say.count(stats.requests),
        "Rows": say.count(stats.rows),
        "Captured": captured_words(stats.overall.ratio),
        "Last 24 hours": f"{say.count(stats.recent.stored)} requests, {recent} captured",
        "Lost": _lost(stats, view.unaccounted),
        "Answered with 400 or more": say.count(stats.failed),
        "Newest": ui.when(stats.newest, view.now) if stats.newest else "–",
        "Size": f"{bytes_text(stats.size_bytes)} in {say.plural(stats.files, 'file')}",
        **{f"Not readable: {why}": say.count(many) for why, many in stats.unparsed.items()},
    }
    return ui.panel("Captured", [ui.facts(values, "facts wide")])


def _lost(stats: EndpointReport, unaccounted: int) -> ui.Cell:
    dropped = stats.overall.dropped
    words = [f"{reason} {say.count(lost)}" for reason, lost in stats.dropped.items()]
    unknown = sorted({gap.reason for gap in stats.gaps if gap.records is None})
    words += [f"{reason}, how many is not known" for reason in unknown]
    others = {
        "not decoded (decoder fault)": stats.faults,
        "not decoded (body cut)": stats.cut,
        "unaccounted for": unaccounted,
    }
    words += [f"{say.count(several)} {what}" for what, several in others.items() if several]
    if dropped or stats.faults or stats.cut:
        words.insert(0, f"{captured_words(stats.overall.ratio)} stored")
    lost = html.Span(say.count(dropped), className="alarm-text")
    return ui.over(lost, "; ".join(words)) if words else say.count(dropped)


def _by_hour(view: EndpointView) -> html.Section:
    """Draw what was captured hour by hour, with all of its numbers as one table and one file."""
    found, title, cut = view.traffic, "By hour", ""
    hours = sorted({*(found.hours if found else ()), *view.invocations})
    answered: dict[str, Sequence[float | str | None]] = {
        "Hour": [say.moment(hour) for hour in hours],
        "Answered by the server": [view.invocations.get(hour) for hour in hours],
    }
    begun = [one for one in (RANGE.get().start, view.stats and view.stats.oldest) if one]
    if found and begun and max(begun) < found.start:
        cut = f"; at most {TRAFFIC_SHOWN.days} days are shown, here from {say.moment(found.start)}"
    if not hours:
        late = f"No request could be read in {TRAFFIC_S:g} seconds." * bool(found and found.is_cut)
        were = any(run.row_count for one in view.line.monitors for run in one.runs)
        gone = f": they were deleted, or the folder capture/{view.line.name} is missing" * were
        why = late or (f"No request{cut}." if cut else ui.in_time(f"No request is kept{gone}."))
        return ui.panel(title, why if view.stats else UNREADABLE)
    if found is None:
        return ui.panel(title, [ui.numbers(title, answered, is_open=True)], note=UNREADABLE)
    counts = [found.hours.get(hour, Requests()) for hour in hours]
    stored, refused, lost = (sum(getattr(one, of) for one in counts) for of in SUMS)
    words = f"{say.plural(stored, 'request')} captured in {say.plural(len(hours), 'hour')}, "
    words += f"{refused or 'none'} refused or failed, {lost or 'none'} lost"
    words += f"; only those that could be read in {TRAFFIC_S:g} seconds" * found.is_cut + cut
    columns = answered | _columns(counts)
    columns |= {
        "Lost": [one.lost for one in counts],
        "Duplicates": [one.doubled for one in counts],
        "Lag p99, ms": [one.lag.quantile_ms(0.99) for one in counts],
    }
    drawn = ui.figure("traffic", traffic_figure(hours, counts), words, columns)
    keys = {"reference": "answered", "alarm": "refused", "soft": "lost"}
    keys |= {"none": "latency, p50", "failed": "p99"}
    signs = ui.legend(*(ui.swatch(look, told) for look, told in keys.items()))
    note = html.P(MEANING, className="note")
    return ui.panel(title, [drawn, note, *_by_name(found)], note=signs)


def _by_name(found: Traffic) -> list[ui.Cell]:
    """List the same requests by variant and by client, as far as records name one."""
    named = [("variant", *one) for one in found.variants.items()]
    named += [("client", *one) for one in found.clients.items()]
    named.sort(key=lambda one: (one[0] == "client", -one[2].stored))
    columns: dict[str, Sequence[float | str | None]] = {
        "By": [kind for kind, *_ in named],
        "Name": [name for _, name, _ in named],
        **_columns([one for *_, one in named]),
    }
    label = "By variant" + " and client" * bool(found.clients)
    listed = ui.numbers(label, columns, first=ui.TABLE_ROWS, is_open=True)
    lack = f"Clients are not listed. {lack}" if (lack := ui.lacking("analyst")) else NO_CLIENT
    return [listed] if found.clients else [listed, html.P(lack, className="note")]


def _columns(counts: Sequence[Requests]) -> dict[str, Sequence[float | str | None]]:
    return {
        "Captured": [one.stored for one in counts],
        "Refused": [one.refused for one in counts],
        "p50, ms": [one.latency.quantile_ms(0.5) for one in counts],
        "p99, ms": [one.latency.quantile_ms(0.99) for one in counts],
    }
