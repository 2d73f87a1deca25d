"""The pages of jobs: runs of all monitors, what waits, what comes next, and one run."""

from __future__ import annotations

from dash import html

from driftline.dashboard.address import baseline_link, job_link, list_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import act_button, ask_form, choice, field
from driftline.dashboard.pages.windows import (
    cancel_button,
    failure_facts,
    log_panel,
    running_panel,
    span_of,
)
from driftline.dashboard.queries.jobs import (
    SIZE,
    STATUSES,
    BackfillView,
    JobsView,
    JobView,
    ScheduleLine,
)
from driftline.dashboard.words import (
    STATES,
    count,
    duration,
    mid_sentence,
    moment,
    plural,
    schedule_text,
    sentence,
    span,
)
from driftline.monitors.executions import WITHOUT_REPORT, Execution, state_of

POLL_MS = "2000"
"""How often a page asks again while something runs or waits."""

TABS = {"": "Runs", "schedules": "Schedules"}
AGAIN = {"no": "only windows without a result", "yes": "all windows, also those with a result"}
NEWEST = "the last whole window"


def page(view: JobsView) -> html.Div:
    """Lay out what runs and waits, then the runs or the schedules."""
    tabs = ui.choices(
        "Tabs",
        (
            (words, list_link("jobs", view=tab or None), tab == view.tab)
            for tab, words in TABS.items()
        ),
    )
    drawn = ui.layout(
        f"Jobs, {TABS[view.tab]}",
        ui.crumbs("Jobs"),
        ui.heading("Jobs", plural(view.total, "monitor" if view.tab else "run"), tabs),
        *_backfill(view.backfill),
        *_running(view),
        _filters(view),
        _schedules(view) if view.tab else _runs(view),
    )
    is_busy = bool(view.running or view.asked_count)
    return ui.marked(drawn, data_refresh_ms=POLL_MS) if is_busy else drawn


def _filters(view: JobsView) -> html.Div:
    search = ui.filter_box(view.text, "Filter by monitor")
    if view.tab:
        return html.Div([search], className="filters")
    states: list[tuple[str | None, str]] = [(None, "all")]
    states += [(state, mid_sentence(STATES[state][1])) for state in STATUSES]
    ways = ui.choices(
        "State",
        (
            (words, list_link("jobs", state=state, text=view.text), state == view.state)
            for state, words in states
        ),
    )
    return html.Div([ways, search], className="filters")


def _running(view: JobsView) -> list[ui.Cell]:
    """Show what is being judged now, how far that is, and what waits for a scheduler."""
    parts = running_panel(view.running, {"Monitor": lambda one: _monitor(one.monitor)})
    if view.asked_count:
        body = ui.table(
            view.asked,
            {
                "Monitor": lambda one: _monitor(one.monitor),
                "Window": lambda one: span(one.window),
                "Asked by": lambda one: one.asked_by,
                "Since": lambda one: ui.when(one.asked_at, view.now),
                "State": lambda one: _tried(one.attempts, one.failure) or "waits for a scheduler",
                "Action": cancel_button,
            },
            label="Windows that wait for a scheduler",
        )
        more = ui.more_of(view.asked_count - len(view.asked))
        parts.append(ui.panel("Queued", [body, *more], note=plural(view.asked_count, "window")))
    return parts


def _monitor(name: str) -> html.A:
    return html.A(name, href=monitor_link(name))


def _tried(attempts: int, failure: str | None) -> str:
    return f"could not be run, {plural(attempts, 'attempt')}: {failure}" if attempts else ""


def _runs(view: JobsView) -> html.Section:
    """List the runs, the newest first."""
    if not view.jobs:
        narrowed = view.text or view.state
        why = "No window has been judged yet. Schedules shows when the next one is."
        why = "No run matches this filter." if narrowed else why
        return ui.panel("Runs", [ui.empty(why)])
    body = ui.table(
        view.jobs,
        {
            "State": lambda one: ui.state_chip(_state(one)),
            "Monitor": lambda one: _monitor(one.monitor),
            "Window": lambda one: html.A(span(one.window), href=job_link(one.id)),
            "Started": lambda one: ui.when(one.started_at, view.now),
            "Took": lambda one: duration(one.finished_at - one.started_at),
            "Rows": lambda one: count(None if one.status in WITHOUT_REPORT else one.row_count),
            "Outcome": _outcome,
        },
        label="Runs, the newest first",
        kind="cards jobs",
        numeric=("Rows", "Took"),
    )

    def link(number: int) -> str:
        return list_link("jobs", state=view.state, text=view.text, number=number)

    return ui.panel("Runs", [body, *ui.pager(view.number, SIZE, view.total, link)])


def _state(one: Execution) -> str:
    return state_of(one.status, one.failure_reason, one.violation_count)


def _outcome(one: Execution) -> ui.Cell:
    said = one.failure_reason or one.cause or ("" if one.is_current else "replaced by a newer run")
    if one.failure_type:
        return html.Div([html.Code(one.failure_type), " ", ui.clipped(said)])
    return ui.clipped(said) if said else "no violations"


def _schedules(view: JobsView) -> html.Section:
    """List the monitors with their schedules and next times."""
    if not view.schedules:
        why = "No monitor matches this filter." if view.text else "No monitor is declared yet."
        return ui.panel("Schedules", [ui.empty(why, "" if view.text else "driftline deploy")])
    body = ui.table(
        view.schedules,
        {
            "Monitor": lambda one: _monitor(one.definition.name),
            "Schedule": lambda one: schedule_text(
                one.definition.schedule, one.definition.time_zone
            ),
            "Newest": _newest,
            "Next": lambda one: _next(one, view),
            "Run": lambda one: ui.stack(
                act_button(
                    "queue", "Run now", {"monitor": one.definition.name},
                    about=f"{one.definition.name}, {NEWEST}",
                ),
                html.A(
                    "Backfill",
                    href=list_link(
                        "jobs", view=view.tab or None, monitor=one.definition.name, text=view.text,
                        number=view.number, anchor="backfill",
                    ),
                ),
            ),
        },
        label="Monitors and their schedules",
    )  # fmt: skip

    def link(number: int) -> str:
        return list_link("jobs", view=view.tab or None, text=view.text, number=number)

    note = html.Span(f"Run now judges {NEWEST}")
    pages = ui.pager(view.number, SIZE, view.total, link)
    return ui.panel("Schedules", [body, *pages], note=note)


def _newest(line: ScheduleLine) -> ui.Cell:
    if line.newest is None or line.window is None:
        return ui.state_chip("waiting", small=True)
    way = html.A(span(line.window), href=job_link(line.newest["execution"]))
    return ui.stack(ui.state_chip(line.newest["state"], small=True), way)


def _next(line: ScheduleLine, view: JobsView) -> ui.Cell:
    if line.due_at is None:
        return ui.faint("no further window")
    late = _tried(line.state.attempts, line.state.failure)
    if line.due_at > view.now:
        words = f"in {duration(line.due_at - view.now)}"
    else:
        words = f"due for {duration(view.now - line.due_at)}"
    parts: list[ui.Cell] = [moment(line.due_at), ui.faint(words, line=True)]
    parts += [ui.faint(late, line=True)] if late else []
    return html.Div(parts)


def _backfill(view: BackfillView | None) -> list[ui.Cell]:
    """Ask for a span, count what a backfill of it would run, and offer to run that."""
    if view is None:
        return []
    fields = [
        field("from", "From", view.start, hint="2026-01-01", is_required=True),
        field("to", "To", view.end, hint="2026-02-01", is_required=True),
        choice("again", "Run", AGAIN, "yes" if view.again else "no"),
    ]
    parts: list[ui.Cell] = [ask_form(fields, "Count", anchor="backfill")]
    if view.why_not:
        parts.append(html.P(sentence(view.why_not), className="alarm-text", role="alert"))
    if view.missed is not None and view.span is not None:
        many = len(view.missed.windows)
        words = [f"{plural(many, 'window')} to run" if many else "No window to run"]
        words += [f"{count(ran)} with a result already"] if (ran := view.missed.ran_count) else []
        live = view.missed.live_count
        words += [f"{count(live)} left to the schedule"] if live else []
        parts.append(html.P(f"{'; '.join(words)}.", className="finding"))
        if many:
            given = dict(span_of(view.monitor.name, view.span))
            given |= {"again": "yes"} if view.again else {}
            parts.append(act_button("queue", f"Run {plural(many, 'window')}", given))
    note = html.Span("windows run oldest first, behind those that are due; they page nobody")
    return [ui.panel(f"Backfill {view.monitor.name}", parts, note=note, name="backfill")]


def job_page(view: JobView) -> html.Div:
    """Lay out one run: how it ended, why it failed, its log, and the others of its window."""
    job, window = view.job, view.job.window
    title = f"{job.monitor}, {span(window)}"
    buttons: list[ui.Cell] = [
        html.A("Open the window", href=monitor_link(job.monitor, window=window.stamp),
               className="button"),
    ] * job.is_current  # fmt: skip
    if view.is_waiting:
        buttons.append(ui.faint("queued: a scheduler runs this window"))
    elif view.may_run:
        given = {**span_of(job.monitor, window), "whole": "yes"}
        buttons.append(act_button("queue", "Re-run", given, about=title))
    drawn = ui.layout(
        f"Run of {title}",
        ui.crumbs(("Jobs", list_link("jobs")), job.id),
        ui.heading(job.monitor, f"run on {span(window)}", ui.stack(*buttons)),
        _verdict(job),
        ui.pair(_facts(view), _log(view)),
        *_others(view),
    )
    return ui.marked(drawn, data_refresh_ms=POLL_MS) if view.is_waiting else drawn


def _verdict(job: Execution) -> html.Div:
    state = _state(job)
    words = {
        "failed": "The run failed: the window is not judged",
        "violations": plural(job.violation_count, "violation"),
        "ok": "No violations",
    }.get(state, STATES[state][1])
    said = job.failure_reason or job.cause
    lines: list[ui.Cell] = [html.H2(words)]
    lines += [html.P(sentence(said), className="cause")] if said else []
    if not job.is_current:
        lines.append(html.P("A newer run of this window has replaced it.", className="cause"))
    tone = {"violations": "alarm", "ok": "ok", "failed": "failed"}.get(state, "none")
    return ui.verdict_box(tone, *lines, *failure_facts(job.failure_type, job.failure_record))


def _facts(view: JobView) -> html.Section:
    job = view.job
    judged = job.status not in WITHOUT_REPORT
    entries: list[tuple[str, ui.Cell]] = [
        ("Monitor", html.A(job.monitor, href=monitor_link(job.monitor))),
        ("Kind", job.kind.replace("-", " ")),
        ("Started", ui.when(job.started_at, view.now)),
        ("Took", duration(job.finished_at - job.started_at)),
        ("Rows", count(job.row_count if judged else None)),
        ("Requests", count(job.request_count if judged else None)),
        ("Definition", f"version {job.definition_version}"),
        ("Baseline", html.A(f"{job.baseline} {job.baseline_version}".strip(),
                            href=baseline_link(job.baseline))),
        ("Documents", html.Code(job.folder) if job.folder else "none were written"),
    ]  # fmt: skip
    return ui.panel("This run", [ui.facts(entries)])


def _log(view: JobView) -> html.Section:
    lines = log_panel(view.log, is_open=True)
    return ui.panel("Log", lines or [ui.empty("No log was kept of this run.")])


def _others(view: JobView) -> list[ui.Cell]:
    if not view.others:
        return []
    body = ui.table(
        view.others,
        {
            "State": lambda one: ui.state_chip(_state(one)),
            "Started": lambda one: html.A(ui.when(one.started_at, view.now), href=job_link(one.id)),
            "Outcome": _outcome,
        },
        label="Other runs of this window",
    )
    return [ui.panel("Other runs of this window", [body])]
