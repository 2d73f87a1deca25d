"""The small pieces that pages are made of: states, bars, tables, panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from dash import dcc, html
from dash.development.base_component import Component

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts.canvas import Figure
from driftline.dashboard.queries.views import DeliveryLine, MonitorLine, WindowRun
from driftline.dashboard.words import (
    DELIVERIES,
    STATES,
    age,
    moment,
    number,
    percent,
    plural,
    span,
)

Cell = Component | str
"""One cell of a table; text is always text, never markup."""

Part = TypeVar("Part", bound=Component)

CONFIG: dcc.Graph.Config = {
    "displayModeBar": False,
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": False,
    "doubleClick": False,
    "showTips": False,
}
"""No mode bar: its buttons would sit inside an image; no zoom: a page scrolls over its charts."""

STRIP_WINDOWS = 30


def panel(
    title: str, children: Sequence[Cell], *, note: Cell = "", name: str = "", tone: str = ""
) -> html.Section:
    """Frame a part of a page with its heading; ``name`` makes it a target of links."""
    heading = html.Div([html.H2(title), html.Div(note, className="note")], className="panel-head")
    tones = f"panel {tone}".strip()
    if name:
        return html.Section([heading, *children], className=tones, id=name)
    return html.Section([heading, *children], className=tones)


def graph(name: str, figure: Figure, height_px: int) -> dcc.Graph:
    """Show a figure."""
    return dcc.Graph(id=name, figure=figure, config=CONFIG, style={"height": f"{height_px}px"})


def problem(title: str, reason: str) -> html.Div:
    """Say on a whole page what went wrong, in words."""
    return marked(
        html.Div(
            [
                html.H1(title, tabIndex=-1),
                html.P(reason),
                html.P(html.A("Back to the overview", href="/")),
            ],
            className="lonely",
            role="alert",
        ),
        data_title=title,
    )


def empty(why: str, command: str = "") -> html.Div:
    """Say why there is nothing to see, and the command that changes that."""
    hint = [html.Code(command)] if command else []
    return html.Div([html.P(why), *hint], className="empty")


def crumbs(*steps: str | tuple[str, str]) -> html.Nav:
    """Show the way to this page, from the overview on; the last step is the page itself."""
    parts: list[Cell] = [html.A("Overview", href="/")]
    for step in steps:
        parts.append(marked(html.Span("›"), aria_hidden="true"))
        parts.append(html.Span(step) if isinstance(step, str) else html.A(step[0], href=step[1]))
    return marked(html.Nav(parts, className="crumbs"), aria_label="Breadcrumb")


def delivery_text(line: DeliveryLine) -> html.Span:
    """Say how a message fares; one that nobody will get stands out."""
    words = "✓ delivered" if line.status == "delivered" else DELIVERIES.get(line.status, "")
    return html.Span(
        words or line.status,
        className="alarm-text" if line.status == "dead" else "",
        title=line.detail or None,
    )


def state_chip(state: str, *, small: bool = False) -> html.Span:
    """Show a state by glyph, word and colour."""
    glyph, word, tone = STATES.get(state, ("?", state, "none"))
    return html.Span(
        [marked(html.Span(glyph), aria_hidden="true"), html.Span(word)],
        className=f"chip {tone}" + (" small" if small else ""),
    )


def way_words(link: str) -> str:
    """Name the link that leads from an alarm to what it is about."""
    return "See the rows" if link.endswith("#rows") else "Open the window"


def when(time: datetime, now: datetime) -> html.Time:
    """Show a time with its age; the exact time is there for machines and on hover."""
    return html.Time(
        [html.Span(moment(time)), html.Span(age(time, now), className="age")],
        dateTime=f"{time:%Y-%m-%dT%H:%M:%SZ}",
        title=f"{moment(time, seconds=True)} UTC",
        className="when",
    )


def fact(name: str, value: Cell) -> html.Div:
    """Show one named value."""
    return html.Div([html.Dt(name), html.Dd(value)], className="fact")


def keyed(sign: html.Span, words: str) -> html.Span:
    """Put a sign of a legend before its words, never on another line than the first of them."""
    return html.Span([sign, words], className="keyed")


def share_bar(share: float, *, tone: str = "alarm") -> html.Div:
    """Draw a share (0–1) as a small bar with its percentage."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    return html.Div(
        [
            html.Div(html.Div(style={"width": width}, className=tone), className="track"),
            html.Span(percent(share), className="number"),
        ],
        className="share",
    )


def bullet(distance: float | None, bound: float | None) -> html.Div:
    """Draw a distance against its bound: the bound is the tick in the middle of the track.

    A bound of 1 or more is said to be out of reach, since no distance is greater than 1.
    """
    if distance is None or not bound:
        return html.Div("not measured", className="faint")
    ratio = distance / bound
    width = f"{50 * min(2.0, ratio):.1f}%"
    tone = "alarm" if ratio > 1 else "calm"
    more = " more" if ratio > 2 else ""
    title = f"distance {number(distance)} is {number(ratio)} times the bound {number(bound)}"
    if bound >= 1:
        title += ": this column varies so much between windows by itself that no shift alone counts"
    return html.Div(
        [
            html.Div(
                [html.Div(style={"width": width}, className=tone + more), html.I()],
                className="track bullet",
            ),
            html.Span(
                [html.B(number(distance)), html.Span(f" / {number(bound)}", className="faint")],
                className="number",
            ),
        ],
        className="share",
        title=title,
    )


def strip(monitor: MonitorLine) -> html.Ul:
    """Draw the newest windows of a monitor as a row of small marks, oldest first."""
    runs = monitor.runs[-STRIP_WINDOWS:]
    blank = [html.Li(className="blank") for _ in range(STRIP_WINDOWS - len(runs))]
    return marked(
        html.Ul([*blank, *(html.Li(_mark(monitor.name, run)) for run in runs)], className="strip"),
        aria_label=f"newest {plural(len(runs), 'window')}, oldest first",
    )


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    label: str,
    kind: str = "",
    tones: Sequence[str] = (),
    numeric: Sequence[int] = (),
    hints: Mapping[str, str] | None = None,
) -> html.Div:
    """Lay out a table; on a narrow screen each row becomes a card that repeats the headings.

    ``hints`` explain headings to whoever points at them.
    """
    right = frozenset(numeric)
    body = [
        html.Tr(
            [
                marked(
                    html.Td(html.Div(cell), className="right" if column in right else ""),
                    data_head=heads[column],
                )
                for column, cell in enumerate(row)
            ],
            className=tones[index] if tones else "",
        )
        for index, row in enumerate(rows)
    ]
    head = html.Tr(
        [
            html.Th(
                text,
                scope="col",
                className="right" if column in right else "",
                title=(hints or {}).get(text),
            )
            for column, text in enumerate(heads)
        ]
    )
    return marked(
        html.Div(
            html.Table([html.Caption(label), html.Thead(head), html.Tbody(body)]),
            className=f"scroll {kind}".strip(),
            tabIndex=0,
            role="region",
        ),
        aria_label=label,
    )


def _mark(monitor: str, run: WindowRun) -> html.A:
    """Draw one window of a strip; its height tells a hard violation from a soft one."""
    _, word, tone = STATES[run.state]
    soft = run.state == "violations" and run.hard_count == 0
    text = f"{span(run)}: {word}"
    if run.violation_count:
        text += f" ({run.violation_count})"
    # The monitor's page offers the same windows by keyboard; thirty stops a row would bury it.
    return html.A(
        html.Span(text, className="hidden"),
        href=monitor_link(monitor, window=run.stamp),
        className="soft" if soft else tone,
        title=text,
        tabIndex=-1,
    )


def marked(part: Part, **attributes: str) -> Part:
    """Give a part ``aria-…`` and ``data-…`` attributes, written with underscores."""
    for name, value in attributes.items():
        setattr(part, name.replace("_", "-"), value)
    return part
