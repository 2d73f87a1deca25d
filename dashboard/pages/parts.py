"""The small pieces that pages are made of: frame, panels, tables, states, bars."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from driftline.access.principal import CURRENT, Role
from driftline.dashboard import words as say
from driftline.dashboard.address import ALL, RANGE
from driftline.dashboard.charts.canvas import Figure
from driftline.dashboard.queries.views import AlarmLine, MonitorLine

Cell = Component | str
"""One cell of a table; text is always text, never markup."""

Parts = Sequence[Cell | None] | str
"""What a panel holds, but for None; a text says why there is nothing."""

Part = TypeVar("Part", bound=Component)
Item = TypeVar("Item")
Key = TypeVar("Key")

Columns = Mapping[str, Callable[[Item], Cell]] | Sequence[tuple[str, Callable[[Item], Cell]]]
"""The columns of a table: what a cell of an item shows, by its heading."""

Numbers = Mapping[str, Iterable[float | str | None] | np.ndarray]
"""The numbers of a figure, as its table and its file have them: columns by their headings."""

PLACE_TABS: Mapping[str, Mapping[str, str]] = {
    "Alerts": {
        "Alarms": "/alarms", "Notifications": "/messages", "Silences": "/silences",
    },
    "Setup": {
        "Baselines": "/setup", "Channels": "/setup/channels", "Settings": "/setup/settings",
        "Tokens": "/setup/tokens", "Audit": "/audit",
    },
}  # fmt: skip
"""Pages that stand in one place, with their addresses: what is about alerts, what is set up."""

PLACE_ROLES: Mapping[str, Role] = {
    "/setup/settings": "operator", "/setup/tokens": "admin", "/audit": "admin",
}  # fmt: skip
"""What it takes to see some of them."""

STRIP_WINDOWS = 30
TABLE_ROWS = 20
"""Of a figure's numbers, the newest: a document of thousands of nodes is slow."""

CONFIG: dcc.Graph.Config = {
    "displayModeBar": False, "displaylogo": False, "responsive": True,
    "scrollZoom": False, "doubleClick": False, "showTips": False,
}  # fmt: skip
"""No mode bar: its buttons would sit inside an image; no zoom: a page scrolls over its charts."""

ELSEWHERE = {
    "job": ("All runs", "/jobs"),
    "alarm": ("All alarms", "/alarms"),
}
"""Where to look further for what was not found, by the page that was asked for."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Where a range of a figure's places leads: ``to``, with the value ``name`` of its address.

    Place k lies between edges k and k + 1. Of a range the value says ``first`` and ``last`` of the
    places where it begins and ends, joined by ``joint``.
    """

    to: str
    name: str
    joint: str
    edges: Sequence[float | str]
    first: Sequence[str]
    last: Sequence[str]


def layout(title: str, *parts: Cell | None) -> html.Div:
    """Lay out a page under the title that the browser shows."""
    return marked(html.Div(there(parts), className="page"), data_title=title)


def heading(name: str, under: str, *beside: Cell) -> html.Div:
    """Name a page, with a line under the name and what stands beside it."""
    words = [html.H1(name, tabIndex=-1), html.P(under, className="under")]
    return html.Div([html.Div(words, className="title-text"), *beside], className="title")


def crumbs(*steps: str | tuple[str, str]) -> html.Nav:
    """Show the way to this page, from the fleet on; the last step is the page itself."""
    parts: list[Cell] = [html.A("Fleet", href="/")]
    for step in steps:
        parts.append(marked(html.Span("›"), aria_hidden="true"))
        parts.append(html.Span(step) if isinstance(step, str) else html.A(step[0], href=step[1]))
    return marked(html.Nav(parts, className="crumbs"), aria_label="Breadcrumb")


def pair(*panels: Cell, wide_left: bool = False) -> html.Div:
    """Set panels side by side where there is room."""
    return html.Div(list(panels), className="pair wide-left" if wide_left else "pair")


def panel(title: str, children: Parts, *, note: Cell = "", name: str = "") -> html.Section:
    """Frame a part of a page with its heading; ``name`` makes it a target of links."""
    head = html.Div([html.H2(title), html.Div(note, className="note")], className="panel-head")
    parts = [empty(children)] if isinstance(children, str) else there(children)
    drawn = html.Section([head, *parts], className="panel")
    return marked(drawn, id=name) if name else drawn


def folded(summary: str, *parts: Cell, is_open: bool = False) -> html.Details:
    """Fold parts away under a summary."""
    return html.Details([html.Summary(summary), *parts], className="as-table", open=is_open)


def verdict_box(tone: str, *lines: Cell | None) -> html.Div:
    """Show first how things stand, in the colour of a tone."""
    return html.Div(there(lines), className=f"verdict small {tone}")


def there(parts: Iterable[Cell | None]) -> list[Cell]:
    """Return the parts that are not None."""
    return [one for one in parts if one is not None]


def problem(title: str, reason: str, way: Cell = "") -> html.Div:
    """Show on a whole page what went wrong, in words, and lead on."""
    link = html.P(way or html.A("To the Fleet", href="/"))
    parts = [html.H1(title, tabIndex=-1), html.P(reason), link]
    return marked(html.Div(parts, className="lonely", role="alert"), data_title=title)


def missing(
    reason: str | None, asked: str = "", *ways: tuple[str, str], title: str = "Not found"
) -> html.Div:
    """Show on a whole page what was not found, and lead on: to those of its kind, and back."""
    beside = [ELSEWHERE[asked]] if asked in ELSEWHERE else []
    links = [*ways, *beside, ("Go to the Fleet", "/")]
    parts = [
        html.P("404", className="eyebrow"),
        html.H1(title, tabIndex=-1),
        html.P(say.sentence(reason or "No page has this address")),
        *(html.P(html.A(words, href=href, className="button")) for words, href in links),
    ]
    return marked(html.Div(parts, className="lonely"), data_title=title)


def lacking(role: Role) -> str:
    """Return the sentence that the caller lacks the role for this; empty when they have it."""
    who = CURRENT.get()
    own = ", ".join(sorted(who.roles))
    return "" if who.may(role) else f"This takes the role {role}; {who.subject} has {own}."


def empty(why: str, command: str = "") -> html.Div:
    """Show why there is nothing to see, and the command that changes that."""
    hint = [html.Code(command)] if command else []
    return html.Div([html.P(why), *hint], className="empty")


def in_time(why: str) -> str:
    """Return why there is nothing; where a span of time is chosen, that may be the reason."""
    return why if RANGE.get() == ALL else "Nothing of this lies in the time that is shown."


def no_match(noun: str, href: str) -> list[Cell]:
    """Show that a filter leaves nothing of a list, and lead back to all of it."""
    clear = html.P(html.A(f"Show all {noun}s", href=href, className="button"))
    return [empty(f"No {noun} matches this filter."), clear]


def resource_file(text: str, name: str) -> list[Cell]:
    """Show a resource to copy, and how it is applied."""
    how = html.P(["To apply it, save it as a file and run ", html.Code("driftline apply -f FILE")])
    return [how, html.Pre(html.Code(text), id=name, className="yaml", tabIndex=0)]


def no_alarms() -> html.Div:
    """Show how alarms come to be."""
    why = "No alarm is declared yet. Deploying a model with a reference declares the usual ones."
    return empty(why, "driftline apply -f alarms.yaml")


def graph(name: str, figure: Figure, label: str, ranges: Ranges | None = None) -> html.Div:
    """Show a figure and the words that stand for it; ``ranges``: where a drag over it leads."""
    if ranges:
        figure["layout"] |= {"dragmode": "select", "selectdirection": "h"}
    height = {"height": f"{figure['layout']['height']}px"}
    drawn = dcc.Graph(id=name, figure=figure, config=CONFIG, style=height)
    more = {"data_ranges": json.dumps(asdict(ranges))} if ranges else {}
    return marked(html.Div(drawn, role="img", style=height), aria_label=label, **more)


def figure(
    name: str, drawn: Figure, words: str, columns: Numbers, *, every: int = 1,
    names: Sequence[Cell] = (), ranges: Ranges | None = None, file: str = "",
) -> html.Figure:  # fmt: skip
    """Show a figure under a sentence, its numbers as a file, and one of ``every`` as a table."""
    table = numbers(words, columns, every=every, names=names, file=file or name)
    return html.Figure([html.Figcaption(words), graph(name, drawn, words, ranges), table])


def numbers(
    label: str, columns: Numbers, *, every: int = 1, first: int = 0, names: Sequence[Cell] = (),
    is_open: bool = False, file: str = "",
) -> html.Details:  # fmt: skip
    """Show the numbers of a figure as a table of the newest ones, and all of them as a file.

    ``first`` limits the table to that many instead; ``names`` stand in its first column. ``file``
    names the file's content, else the label does.
    """
    values = {
        head: column.tolist() if isinstance(column, np.ndarray) else list(column)
        for head, column in columns.items()
    }
    rows = list(zip(*values.values(), strict=True))
    firm = [head for head in values if not any(isinstance(one, str) for one in values[head])]
    cells = {head: partial(_shown, column) for head, column in values.items()}
    if names:
        cells[next(iter(cells))] = partial(_shown, names)
    shown = range(len(rows))[:first] if first else range(0, len(rows), every)[-TABLE_ROWS:]
    body = table(shown, cells, label=label, kind="cards tall", numeric=firm)
    button = csv_button(file or label[:60], list(values), rows)
    more = more_of(len(rows) - len(shown) if first else 0)
    summary = label if first else "Show as a table"
    return folded(summary, button, body, *more, is_open=is_open)


def csv_button(
    name: str, heads: Sequence[str], rows: Iterable[Sequence[float | str | None]]
) -> html.Button:
    """Offer rows as a file; its name begins with the page's title: monitor, column, window."""
    text, zone = io.StringIO(), say.zone_name()
    csv.writer(text).writerows([heads, *(map(_plain, row) for row in rows)])
    name += f", times in {zone}" * (zone != "UTC")
    button = html.Button("CSV", type="button", className="button small")
    return marked(button, data_csv=text.getvalue(), data_name=name)


def _plain(cell: float | str | None) -> float | str | None:
    """Return a cell of a file: no formula to a spreadsheet, empty where nothing is known."""
    if isinstance(cell, float) and math.isnan(cell):
        return None
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell


def _shown(column: Sequence[Cell | float | None], at: int) -> Cell:
    value = column[at]
    return say.number(value) if value is None or isinstance(value, float | int) else value


def choices(
    label: str, options: Mapping[Key, str], chosen: Key, way: Callable[[Key], str]
) -> html.Nav:
    """Offer links of which one is chosen: the words of each, and the way to it."""
    links = {key: html.A(words, href=way(key)) for key, words in options.items()}
    if chosen in links:
        marked(links[chosen], aria_current="page")
    return marked(html.Nav(list(links.values()), className="choices"), aria_label=label)


def filters(*parts: Cell | None) -> html.Div:
    """Set the ways to narrow a list, or to choose what a page is about, beside each other."""
    return html.Div(there(parts), className="filters")


def place_page(place: str, name: str, under: str, *parts: Cell, beside: Sequence[Cell] = ()
) -> html.Div:  # fmt: skip
    """Lay out one of the pages of a place, with the way to the others that are for the caller."""
    ways = {
        href: words
        for words, href in PLACE_TABS[place].items()
        if not lacking(PLACE_ROLES.get(href, "viewer"))
    }
    tabs = choices(place, ways, PLACE_TABS[place][name], str)
    return layout(name, crumbs(place, name), heading(name, under, tabs, *beside), *parts)


def filter_box(text: str | None, words: str) -> html.Label:
    """Offer to narrow a list by a text: it goes into the address as it is typed."""
    box = dcc.Input(
        id="filter", type="search", value=text or "", placeholder=words, maxLength=200,
        debounce=False, autoComplete="off",
    )  # fmt: skip
    return html.Label([html.Span("Filter", className="hidden"), box], htmlFor="filter")


def state_chip(state: str, *, small: bool = False) -> html.Span:
    """Show a state by glyph, word and colour."""
    glyph, word, tone = say.STATES.get(state, ("?", state, "none"))
    parts = [marked(html.Span(glyph), aria_hidden="true"), html.Span(word)]
    return html.Span(parts, className=f"chip {tone}" + " small" * small)


def tag(words: str, kind: str | None = None) -> html.Span:
    """Show a word as a tag, of the kind that the word names unless told."""
    look = f"tag {words if kind is None else kind}".strip()
    return html.Span(words, className=look)


def stack(*parts: Cell | None) -> html.Div:
    """Set small parts beside each other."""
    return html.Div(there(parts), className="stack")


def faint(words: Cell, *, line: bool = False) -> html.Span:
    """Show what matters less, on a line of its own if asked for."""
    return html.Span(words, className="faint line" if line else "faint")


def over(first: Cell, *below: str) -> html.Div:
    """Set what a cell shows over words that matter less."""
    return html.Div([first, *(faint(words, line=True) for words in below)])


def clipped(words: str, look: str = "clip") -> html.Span:
    """Show as much of a text as there is room for; all of it to anybody who points at it."""
    return html.Span(words, className=look, title=words)


def pager(number: int, size: int, total: int, way: Callable[..., str]) -> html.Nav | None:
    """Offer the pages of a list by their ``number`` from 1; nothing where all is shown."""
    if total <= size:
        return None
    first, last = size * (number - 1) + 1, math.ceil(total / size)
    ways = [("First", 1), ("Earlier", number - 1), ("Later", number + 1), ("Last", last)]
    steps = [
        html.A(words, href=way(number=place), className="button small")
        for words, place in ways
        if 1 <= place <= last and place != number
    ]
    shown = html.Span(f"{first:,}–{min(total, first + size - 1):,} of {total:,}")
    return marked(html.Nav([shown, *steps], className="pager"), aria_label="Pages of the list")


def files(way: Callable[..., str]) -> list[Cell]:
    """Link rows as files of both forms; the browser itself is to fetch them: they are no pages."""
    csv_file = html.A("CSV", href=way(form="csv"), download="")
    return [csv_file, ", ", html.A("Parquet", href=way(form="parquet"), download="")]


def more_of(count: int) -> list[Cell]:
    """Show how many more there are than are shown; nothing where all are."""
    return [faint(f"and {count:,} more", line=True)] if count > 0 else []


def way_words(link: str) -> str:
    """Name the link that leads from an alarm to what it is about."""
    return "See the rows" if link.endswith("#rows") else "Open the window"


def way(link: str | None, look: str = "line") -> list[Cell]:
    """Lead from an alarm to what it is about, if that is known."""
    return [html.A(way_words(link), href=link, className=look)] if link else []


def now_line(alarm: AlarmLine) -> list[Cell]:
    """Show what the newest datapoint says, where another one made the alarm fire."""
    if not alarm.latest:
        return []
    return [html.P([html.B("Now: "), alarm.latest], className="cause")]


def when(time: datetime, now: datetime) -> html.Time:
    """Show a time with its age; the exact time is there for machines and on hover."""
    parts = [html.Span(say.moment(time)), html.Span(say.age(time, now), className="age")]
    exact = f"{say.moment(time, seconds=True)} {say.zone_name()}"
    machines = f"{time:%Y-%m-%dT%H:%M:%SZ}"
    return html.Time(parts, dateTime=machines, title=exact, className="when")


def facts(
    values: Mapping[str, Cell | None] | Iterable[tuple[str, Cell | None]], look: str = "facts"
) -> html.Dl:
    """Show values by their names, without those that are None."""
    named = values.items() if isinstance(values, Mapping) else values
    shown = [(html.Dt(name), html.Dd(value)) for name, value in named if value is not None]
    return html.Dl([html.Div([*one], className="fact") for one in shown], className=look)


def legend(*parts: Cell) -> html.Span:
    """Explain the signs of a figure or a table."""
    return html.Span(list(parts), className="legend")


def glyph(sign: str | None, look: str, words: str) -> html.Span:
    """Explain a glyph of a legend; it never stands on another line than the first of the words."""
    return html.Span([html.Span(sign, className=look), words], className="keyed")


def swatch(look: str, words: str) -> html.Span:
    """Explain a colour of a legend."""
    return glyph(None, f"key {look}", words)


def share_bar(share: float, *, tone: str = "alarm") -> html.Div:
    """Draw a share (0–1) as a small bar with its percentage."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    bar = html.Div(html.Div(style={"width": width}, className=tone), className="track")
    return html.Div([bar, html.Span(say.percent(share), className="number")], className="share")


def bullet(distance: float | None, bound: float | None, method: str = "") -> html.Div:
    """Draw a distance against its bound, the tick in the middle; ``method`` if one is named."""
    if distance is None or not bound:
        return html.Div("not measured", className="faint")
    ratio = distance / bound
    width = f"{50 * min(2.0, ratio):.1f}%"
    tone = ("alarm" if ratio > 1 else "calm") + (" more" if ratio > 2 else "")
    sides = f"{say.number(distance)} is {say.number(ratio)} times the bound {say.number(bound)}"
    title = f"{method or 'distance'} {sides}"
    if bound >= 1 and not method:  # Of the drift test no distance is greater than 1.
        title += ": this column varies so much between windows by itself that no shift alone counts"
    bar = [html.Div(style={"width": width}, className=tone), html.I()]
    words = [html.B(say.number(distance)), faint(f" / {say.number(bound)} {method}".rstrip())]
    parts = [html.Div(bar, className="track bullet"), html.Span(words, className="number")]
    return html.Div(parts, className="share", title=title)


HEIGHTS = {"alarm": 100, "soft": 67, "worse": 50, "partly": 17, "failed": 20}
"""Of the marks of windows in a strip by state or tone, in percent; of all others a third."""


def strip(monitor: MonitorLine) -> html.Span:
    """Draw the newest windows of a monitor as small marks, oldest first; links were too many."""
    runs = monitor.runs[-STRIP_WINDOWS:]
    states = Counter(say.STATES[run.state][1] for run in runs)
    words = ", ".join(f"{say.plural(many, 'window')} {word}" for word, many in states.most_common())
    looks = [(one.state, say.window_tone(one.state, one.page_count)) for one in runs]
    marks = [(tone, HEIGHTS.get(state, HEIGHTS.get(tone, 34))) for state, tone in looks]
    return _picture(marks, words or "no window yet")


def bars(
    shares: Sequence[float], words: str, tone: str = "none", slots: int = STRIP_WINDOWS
) -> html.Span:
    """Draw shares of the greatest as small bars, the first on the left, in one element."""
    marks = [(tone, round(100 * min(1.0, share))) for share in shares[-STRIP_WINDOWS:]]
    return _picture(marks, words, max(slots, len(marks)))


def _picture(marks: Sequence[tuple[str, int]], words: str, slots: int = STRIP_WINDOWS) -> html.Span:
    """Draw marks, each of a colour and a height in percent, side by side as a background."""
    first = slots - len(marks)
    layers = [
        f"linear-gradient(var(--{tone}-fill) 0 0) {100 * (first + at) / max(1, slots - 1):.1f}% "
        f"100% / {80 / slots:.2f}% {height}% no-repeat"
        for at, (tone, height) in enumerate(marks)
    ]
    ground = {"background": ", ".join(layers)}
    drawn = html.Span(className="strip", title=words, role="img", style=ground)
    return marked(drawn, aria_label=words)


def table(
    items: Iterable[Item], columns: Columns[Item], *, label: str, kind: str = "cards",
    tone: Callable[[Item], str] | None = None, numeric: Collection[str] = (),
    hints: Mapping[str, str] | None = None,
) -> html.Div:  # fmt: skip
    """Lay out items as rows; on a narrow screen each becomes a card that repeats the headings."""
    pairs = list(columns.items()) if isinstance(columns, Mapping) else columns
    sides = {head: "right" if head in numeric else "" for head, _ in pairs}

    def row(item: Item) -> html.Tr:
        cells = [html.Td(cell(item), className=sides[head]) for head, cell in pairs]
        for place, (head, _) in zip(cells, pairs, strict=True):
            marked(place, data_head=head)
        return html.Tr(cells, className="" if tone is None else tone(item))

    heads = [
        html.Th(head, scope="col", className=sides[head], title=(hints or {}).get(head))
        for head, _ in pairs
    ]
    body = [html.Thead(html.Tr(heads)), html.Tbody([row(item) for item in items])]
    shown = html.Table([html.Caption(label), *body])
    drawn = html.Div(shown, className=f"scroll {kind}", tabIndex=0, role="region")
    return marked(drawn, aria_label=label)


def list_panel(
    title: str, items: Sequence[Item], columns: Columns[Item], *after: Cell | None,
    why: Parts = "", label: str = "", note: Cell = "", kind: str = "cards",
    tone: Callable[[Item], str] | None = None, numeric: Collection[str] = (),
    hints: Mapping[str, str] | None = None,
) -> html.Section:  # fmt: skip
    """Show items as a table in a panel, and what comes after it; or why there are none."""
    if not items:
        return panel(title, why)
    look: Mapping[str, Any] = {"kind": kind, "tone": tone, "numeric": numeric, "hints": hints}
    return panel(title, [table(items, columns, label=label or title, **look), *after], note=note)


def marked(part: Part, **attributes: str) -> Part:
    """Set ``aria-…`` and ``data-…`` attributes of a part, written with underscores."""
    for name, value in attributes.items():
        setattr(part, name.replace("_", "-"), value)
    return part
