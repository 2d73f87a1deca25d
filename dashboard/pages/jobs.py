"""The pages of jobs: runs of all monitors, what waits, what comes next, and one run."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from dash import html

from driftline.dashboard import words as say
from driftline.dashboard.address import baseline_link, job_link, link_to, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages import windows
from driftline.dashboard.pages.forms import act_button, ask_form, choice, field
from driftline.dashboard.queries import jobs as queries
from driftline.monitors.executions import WITHOUT_REPORT, Execution

POLL_MS = "2000"
"""How often a page asks again while something runs or waits."""

TABS = {"": "Runs", "schedules": "Schedules"}
AGAIN = {"no": "only windows without a result", "yes": "all windows, also those with a result"}
NEWEST = "the last whole window"


def page(view: queries.JobsView) -> html.Div:
    """Lay out what runs and waits, then the runs or the schedules."""
    tabs = ui.choices("Tabs", TABS, view.tab, lambda tab: link_to("jobs", view=tab or None))
    states: dict[str | None, str] = {None: "all"}
    states |= {state: say.mid_sentence(say.STATES[state][1]) for state in queries.STATUSES}
    here = partial(link_to, "jobs", text=view.text)
    by_state = ui.choices("State", states, view.state, lambda one: here(state=one))
    drawn = ui.layout(
        f"Jobs, {TABS[view.tab]}",
        ui.crumbs("Jobs"),
        ui.heading("Jobs", say.plural(view.total, "monitor" if view.tab else "run"), tabs),
        _backfill(view.backfill),
        windows.running_panel(view.running, {"Monitor": lambda one: _monitor(one.monitor)}),
        _queued(view) if view.asked_count else None,
        ui.filters(*[by_state] * (not view.tab), ui.filter_box(view.text, "Filter by monitor")),
        _schedules(view) if view.tab else _runs(view),
    )
    is_busy = bool(view.running or view.asked_count)
    return ui.marked(drawn, data_refresh_ms=POLL_MS) if is_busy else drawn


def _queued(view: queries.JobsView) -> html.Section:
    return ui.list_panel(
        "Queued",
        view.asked,
        {
            "Monitor": lambda one: _monitor(one.monitor),
            "Window": lambda one: say.span(one.window),
            "Asked by": lambda one: one.added_by,
            "Since": lambda one: ui.when(one.added_at, view.now),
            "State": lambda one: (
                _tried(one.attempts, one.failure_reason) or "waits for a scheduler"
            ),
            "Action": windows.cancel_button,
        },
        *ui.more_of(view.asked_count - len(view.asked)),
        label="Windows that wait for a scheduler",
        note=say.plural(view.asked_count, "window"),
    )


def _monitor(name: str) -> html.A:
    return html.A(name, href=monitor_link(name))


def _tried(attempts: int, failure: str | None) -> str:
    return f"could not be run, {say.plural(attempts, 'attempt')}: {failure}" if attempts else ""


def _runs(view: queries.JobsView) -> html.Section:
    why = "No window has been judged yet. Schedules shows when the next one is."
    here = partial(link_to, "jobs", state=view.state, text=view.text)
    return ui.list_panel(
        "Runs",
        view.jobs,
        {
            "State": lambda one: ui.state_chip(one.state),
            "Monitor": lambda one: _monitor(one.monitor),
            "Window": lambda one: html.A(say.span(one.window), href=job_link(one.id)),
            "Started": lambda one: ui.when(one.started_at, view.now),
            "Took": lambda one: say.duration(one.finished_at - one.started_at),
            "Rows": lambda one: say.count(one.judged_rows),
            "Outcome": _outcome,
        },
        ui.pager(view.number, queries.SIZE, view.total, here),
        why="No run matches this filter." if view.text or view.state else ui.in_time(why),
        label="Runs, the newest first",
        kind="cards jobs",
        numeric=("Rows", "Took"),
    )


def _outcome(one: Execution) -> ui.Cell:
    said = one.failure_reason or one.cause or one.headline
    told: ui.Cell = ui.clipped(said) if said else ""
    told = html.Div([html.Code(one.failure_type), " ", told]) if one.failure_type else told
    return told if one.is_current else ui.over(told, "replaced by a newer run")


def _schedules(view: queries.JobsView) -> html.Section:
    none = "No monitor matches this filter." if view.text else "No monitor is declared yet."
    here = partial(link_to, "jobs", view=view.tab or None, text=view.text)

    def ways(line: queries.ScheduleLine) -> ui.Cell:
        name = line.state.definition.name
        run = act_button("queue", "Run now", {"monitor": name}, about=f"{name}, {NEWEST}")
        backfill = here(monitor=name, number=view.number, anchor="backfill")
        return ui.stack(run, html.A("Backfill", href=backfill))

    return ui.list_panel(
        "Schedules",
        view.schedules,
        {
            "Monitor": lambda one: _monitor(one.state.definition.name),
            "Schedule": lambda one: say.schedule_text(
                one.state.definition.schedule, one.state.definition.time_zone
            ),
            "Newest": _newest,
            "Next": lambda one: _next(one, view.now),
            "Run": ways,
        },
        ui.pager(view.number, queries.SIZE, view.total, here),
        why=[ui.empty(none, "" if view.text else "driftline deploy")],
        label="Monitors and their schedules",
        note=html.Span(f"Run now judges {NEWEST}; if nothing in it changed, its result stays"),
    )


def _newest(line: queries.ScheduleLine) -> ui.Cell:
    if line.newest is None:
        return ui.state_chip("waiting", small=True)
    way = html.A(say.span(line.newest.window), href=job_link(line.newest.id))
    return ui.stack(ui.state_chip(line.newest.state, small=True), way)


def _next(line: queries.ScheduleLine, now: datetime) -> ui.Cell:
    if line.due_at is None:
        return ui.faint("no further window")
    late = _tried(line.attempts, line.failure)
    wait = say.duration(abs(line.due_at - now))
    due = f"in {wait}" if line.due_at > now else f"due for {wait}"
    if delay_s := line.state.definition.delay_s:
        due += f", {say.duration(timedelta(seconds=delay_s))} after its window ends"
    return ui.over(say.moment(line.due_at), due, *[late] * bool(late))


def _backfill(view: queries.BackfillView | None) -> html.Section | None:
    """Ask for a span, count what a backfill of it would run, and offer to run that."""
    if view is None:
        return None
    fields = [
        field("from", "From, UTC", view.start, hint="2026-01-01", is_required=True),
        field("to", "To, UTC", view.end, hint="2026-02-01", is_required=True),
        choice("again", "Run", AGAIN, "yes" if view.again else "no"),
    ]
    parts: list[ui.Cell] = [ask_form(fields, "Count", anchor="backfill")]
    if view.why_not:
        parts.append(html.P(say.sentence(view.why_not), className="alarm-text", role="alert"))
    if view.missed is not None and view.span is not None:
        many, ran, live = len(view.missed.windows), view.missed.ran_count, view.missed.live_count
        words = [f"{say.plural(many, 'window')} to run" if many else "No window to run"]
        words += [f"{say.count(ran)} with a result already"] if ran else []
        words += [f"{say.count(live)} left to the schedule"] if live else []
        parts.append(html.P(f"{'; '.join(words)}.", className="finding"))
        if many:
            given = dict(windows.span_of(view.monitor.name, view.span))
            given |= {"again": "yes"} if view.again else {}
            parts.append(act_button("queue", f"Run {say.plural(many, 'window')}", given))
    note = html.Span("windows run oldest first, behind those that are due; they page nobody")
    return ui.panel(f"Backfill {view.monitor.name}", parts, note=note, name="backfill")


def job_page(view: queries.JobView) -> html.Div:
    """Lay out one run: how it ended, why it failed, its log, and the others of its window."""
    job, window = view.job, view.job.window
    title = f"{job.monitor}, {say.span(window)}"
    href = monitor_link(job.monitor, window=window.stamp)
    shown = html.A("Open the window", href=href, className="button") if job.is_current else None
    again: ui.Cell | None = None
    if view.is_waiting:
        again = ui.faint("queued: a scheduler runs this window")
    elif view.may_run:
        given = {**windows.span_of(job.monitor, window), "whole": "yes"}
        again = act_button("queue", "Re-run", given, about=title)
    others = ui.list_panel(
        "Other runs of this window",
        view.others,
        {
            "State": lambda one: ui.state_chip(one.state),
            "Started": lambda one: html.A(ui.when(one.started_at, view.now), href=job_link(one.id)),
            "Outcome": _outcome,
        },
    )
    lines = windows.log_list(view.log) if view.log else ui.empty("No log was kept of this run.")
    drawn = ui.layout(
        f"Run of {title}",
        ui.crumbs(("Jobs", link_to("jobs")), job.id),
        ui.heading(job.monitor, f"run on {say.span(window)}", ui.stack(shown, again)),
        _verdict(job),
        ui.pair(_facts(view), ui.panel("Log", [lines])),
        others if view.others else None,
    )
    return ui.marked(drawn, data_refresh_ms=POLL_MS) if view.is_waiting else drawn


def _verdict(job: Execution) -> html.Div:
    word = "The run failed: the window is not judged" if job.state == "failed" else ""
    words = word or job.headline or say.STATES[job.state][1]
    said = job.failure_reason or job.cause
    causes = [say.sentence(said)] if said else []
    causes += ["A newer run of this window has replaced it."] * (not job.is_current)
    return ui.verdict_box(
        say.STATES[job.state][2],
        html.H2(words),
        *(html.P(one, className="cause") for one in causes),
        windows.failure_facts(job.failure_type, job.failure_record),
    )


def _facts(view: queries.JobView) -> html.Section:
    job = view.job
    judged = job.status not in WITHOUT_REPORT
    version = f"{job.baseline} {job.baseline_version}".strip()
    values: dict[str, ui.Cell] = {
        "Monitor": _monitor(job.monitor),
        "Kind": job.kind.replace("-", " "),
        "Started": ui.when(job.started_at, view.now),
        "Took": say.duration(job.finished_at - job.started_at),
        "Rows": say.count(job.judged_rows),
        "Requests": say.count(job.request_count if judged else None),
        "Definition": f"version {job.definition_version}",
        "Baseline": html.A(version, href=baseline_link(job.baseline)),
        "Documents": html.Code(job.folder) if job.folder else "none were written",
    }
    return ui.panel("This run", [ui.facts(values)])
