"""The dashboard as an ASGI application: one Dash page whose content follows the address.

::

    LocalOnly → Login → Gate → Sessions → Downloads → Guard → Dash on FastAPI
    → show(path, query) → pages

Login, Gate and Sessions are there only where people are asked who they are.

State lives in the address only, so reload, back, forward and a link in a pager's message all show
the same view. The content comes from one callback that runs in a worker thread: Dash's FastAPI
backend would run a plain function on the event loop and block every other request meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.backends._fastapi import FastAPIDashServer
from dash.dependencies import ClientsideFunction
from dash.exceptions import DependencyException
from fastapi import FastAPI, HTTPException
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.authentication import Gate
from driftline.access.logins import Access
from driftline.access.principal import CURRENT, Role
from driftline.dashboard.actions import Actions
from driftline.dashboard.address import (
    RANGE,
    Address,
    endpoint_link,
    link_to,
    monitor_link,
    parse,
    read_range,
)
from driftline.dashboard.downloads import Downloads
from driftline.dashboard.guard import Guard
from driftline.dashboard.login import CSRF, PUBLIC, SECRET, Login, Sessions, to_login
from driftline.dashboard.pages import (
    alarm,
    alerts,
    baseline,
    endpoint,
    explained,
    jobs,
    measured,
    monitor,
    overview,
    setup,
    window,
)
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import ask_form, field
from driftline.dashboard.queries import notifications
from driftline.dashboard.queries.explained import read_explained, read_window
from driftline.dashboard.queries.jobs import read_job, read_jobs
from driftline.dashboard.queries.lookup import DeletedError
from driftline.dashboard.queries.setup import read_audit, read_baseline, read_setup
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import CompositeView
from driftline.dashboard.words import local, sentence, zone_name
from driftline.errors import DriftlineError, InputError, NotFoundError
from driftline.loopback import App, LocalOnly
from driftline.monitors.run.standing import NoWindowError

log = logging.getLogger(__name__)

THREADS = 4
"""Pages drawn at the same time; the rest wait."""

READERS = 1
"""Selections explained at the same time, beside them."""

REFRESH_MS = 30_000
"""An open page asks again so often: two requests a minute."""

PLACES = (
    ("Fleet", "/ /endpoints /monitors"),
    ("Alerts", " ".join(ui.PLACE_TABS["Alerts"].values())),
    ("Jobs", "/jobs"),
    ("Setup", "/setup /baselines /audit"),
    ("API", "/docs"),
)
"""The links on top: words, and the paths that are its own, the first to lead to."""

AWAY = (
    "The database or the storage cannot be read now. This page tries again every 30 seconds; "
    "driftline doctor says what is wrong."
)

RANGES = {
    "now-24h": "Last 24 hours", "now-7d": "Last 7 days", "now-30d": "Last 30 days",
    "now-90d": "Last 90 days", "": "All that is kept",
}  # fmt: skip
"""Spans of time to choose from, by where they begin."""

ZONES = "Times in UTC or in the zone of the browser; schedules and what is typed stay in UTC"
INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    <link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
    <script src="/assets/theme.js"></script>
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""


def create_app(
    stores: Stores, send: Callable[..., Mapping[str, Any]] | None = None,
    access: Access | None = None, *, external_url: str = "",
) -> App:  # fmt: skip
    """Build the dashboard; it only reads, and sends changes to the server.

    ``send`` is the only way to change anything: it sends method, path and body to the server, with
    the caller's secret as ``token``. ``access`` authenticates; None: nobody has to.
    ``external_url`` is where a proxy lets others reach the pages.
    """
    dash = _dash(stores)
    calls = {
        name: [(entry["id"], entry["property"]) for entry in (*call["inputs"], *call["state"])]
        for name, call in dash.callback_map.items()
        if "callback" in call
    }

    def act(name: str, given: object) -> tuple[int, str]:
        """Ask the server with the caller's own credentials."""
        by_them = send and partial(send, token=SECRET.get())
        return Actions(by_them, stores.now).run(name, given)

    pages = Guard(dash.server, calls, act, partial(_is_there, stores))
    shown = Downloads(pages, stores)
    if access is None:
        return LocalOnly(shown, external_url)
    gate = Gate(Sessions(shown, access), access.authenticator, PUBLIC, to_login)
    return LocalOnly(Login(gate, access), external_url, access.hosts)


def render(stores: Stores, address: Address) -> html.Div:
    """Draw the page that an address asks for; what cannot be read becomes a sentence on it."""
    try:
        # Here they are those of a backfill.
        is_own = address.page == "jobs" and address.monitor
        span = RANGE.get() if is_own else read_range(address.start, address.end, stores.now())
    except InputError as error:
        every = ui.marked(html.A("Show all that is kept", href="?"), data_from="")
        return ui.problem("This page cannot be shown", sentence(str(error)), every)
    shown = RANGE.set(span)
    try:
        draw = _PAGES.get(address.page)
        stores.require_storage(address)
        return ui.missing(None) if draw is None else _refused(address) or draw(stores, address)
    except NoWindowError as error:
        way = (f"Newest window of {address.monitor}", monitor_link(address.monitor))
        if not address.monitor:
            way = (f"Windows of {address.endpoint}", endpoint_link(address.endpoint))
        return ui.missing(str(error), address.page, way)
    except DeletedError as error:
        way = (f"Runs of {address.monitor}", link_to("jobs", text=address.monitor))
        return ui.missing(str(error), address.page, way, title="Deleted")
    except NotFoundError as error:
        return ui.missing(str(error), address.page)
    except (DriftlineError, SQLAlchemyError, OSError, ValueError) as error:
        log.exception("page failed page=%s monitor=%r", address.page, address.monitor)
        reason = sentence(str(error)) if isinstance(error, DriftlineError) else AWAY
        return ui.problem("This page cannot be shown", reason)
    finally:
        RANGE.reset(shown)


def _is_there(stores: Stores, path: str, query: str) -> bool:
    """Whether an address leads to a page; what cannot be looked up now is no 404."""
    address = parse(path, query)
    try:
        stores.require_storage(address)
        stores.require(address)
    except NotFoundError:
        return False
    except (DriftlineError, SQLAlchemyError, OSError, ValueError):
        return True  # The page says what is wrong.
    return address.page != "missing"


def _refused(address: Address) -> html.Div | None:
    """Draw why the caller, who lacks a role, may not see a page; None where they may."""
    role, title = _ROLES.get(address.page, ("viewer", ""))
    if address.page == "setup":
        role, title = ui.PLACE_ROLES.get(f"/setup/{address.tab}", role), setup.NAMES[address.tab]
    return ui.problem(title, why) if (why := ui.lacking(role)) else None


def _alarm(stores: Stores, at: Address) -> html.Div:
    story = stores.alarm(at.alarm, dict(at.preview))
    return alarm.composite_page(story) if isinstance(story, CompositeView) else alarm.page(story)


def _monitor(stores: Stores, at: Address) -> html.Div:
    (definition,) = stores.monitors(at.monitor)
    if definition.kind_value.judges_columns:
        view = stores.monitor(at.monitor, at.window, at.feature, at.keep)
        return monitor.page(replace(view, number=at.number or None, text=at.text))
    found = stores.measured(at.monitor, at.window, at.metric, at.keep or at.feature)
    return measured.page(replace(found, facet=at.facet, threshold=at.threshold))


_ROLES: Mapping[str, tuple[Role, str]] = {
    "explain": ("analyst", "These rows"),
    "audit": ("admin", "The audit log"),
}
"""What it takes to see some pages, and what these are about."""

_PAGES: Mapping[str, Callable[[Stores, Address], html.Div]] = {
    "overview": lambda stores, at: overview.page(stores.overview(at.text, at.state, at.number)),
    "endpoint": lambda stores, at: endpoint.page(stores.endpoint(at)),
    "monitor": _monitor,
    "column": lambda one, at: monitor.page(one.column(at.monitor, at.feature or "", at.window)),
    "explain": lambda stores, at: explained.page(read_explained(stores, at)),
    "window": lambda stores, at: window.page(read_window(stores, at)),
    "alarms": lambda stores, at: alerts.alarms_page(
        stores.alarms(at.state, at.text, at.severity, at.number)
    ),
    "alarm": _alarm,
    "messages": lambda stores, at: alerts.messages_page(
        *notifications.read_messages(stores, at), at, stores.now()
    ),
    "silences": lambda stores, _: alerts.silences_page(*notifications.read_silences(stores)),
    "jobs": lambda stores, at: jobs.page(read_jobs(stores, at)),
    "job": lambda stores, at: jobs.job_page(read_job(stores, at)),
    "setup": lambda stores, at: setup.page(read_setup(stores, at)),
    "baseline": lambda stores, at: baseline.page(read_baseline(stores, at)),
    "audit": lambda stores, at: setup.audit_page(read_audit(stores, at), stores.now(), at),
}


_PLAIN = PlotlyJSONEncoder().default
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class _Server(FastAPIDashServer):
    """Dash's FastAPI backend without its process-wide catch-all and without WebSockets.

    Our guard routes the pages itself; Dash would add a catch-all to whichever application of the
    process was created last, and open a WebSocket on every page although no callback uses one.
    """

    websocket_capability = False

    @staticmethod
    def create_app(name: str = "__main__", config: dict[str, Any] | None = None) -> FastAPI:
        """Make a server with no pages of its own."""
        return FastAPI(title=name, docs_url=None, redoc_url=None, openapi_url=None)

    def serve_component_suites(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - Dash's own types
        """Answer 404 for a file that no package of Dash has."""
        try:
            return super().serve_component_suites(*args, **options)
        except DependencyException:
            raise HTTPException(404) from None

    def _setup_catchall(self) -> None:
        """Add nothing."""


def _dash(stores: Stores) -> Dash:
    """Create the Dash application: a shell, and one callback that fills it."""
    app = Dash(
        __name__, backend=_Server, assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore=r"(theme|login)\.js", use_pages=False, compress=False,
        suppress_callback_exceptions=True, title="driftline", update_title="", enable_mcp=False,
        index_string=INDEX, add_log_handler=False,
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        ],
    )  # fmt: skip
    app.layout = _shell  # Drawn for each person who opens a page.
    free, reading = asyncio.Semaphore(THREADS), asyncio.Semaphore(READERS)

    @app.callback(
        Output("page", "children"),
        Output("shown", "data"),
        Output("answered", "data"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("tick", "data"),
        State("shown", "data"),
    )
    async def show(path: str | None, query: str | None, _ticks: int, shown: str | None) -> Any:  # noqa: ANN401 - Dash's own type of a callback's answer
        """Draw the page of an address, and as of when; where nothing is new, only the latter."""
        address = parse(path or "/", query or "")
        # What reads rows for seconds is not to keep the other pages waiting.
        place = address.page, address.tab
        is_slow = address.page == "explain" or place == ("window", "rows")
        async with reading if is_slow else free:
            at = f"{local(stores.now()).isoformat(timespec='microseconds')} {zone_name()}"
            drawn, mark = await asyncio.to_thread(_draw, stores, address)
        if mark == shown and ctx.triggered_id == "tick":
            return no_update, no_update, at
        return drawn, mark, at

    app.clientside_callback(  # type: ignore[no-untyped-call]  # Dash has no types for it.
        ClientsideFunction("driftline", "answered"),
        Output("as-of", "children"),
        Output("as-of", "title"),
        Input("answered", "data"),
    )

    selecting = [(figure, way) for figure in ("timeline", "comparison")
                 for way in ("clickData", "selectedData")]  # fmt: skip
    for figure, way in (*selecting, ("calibration", "selectedData")):
        app.clientside_callback(  # type: ignore[no-untyped-call]  # Dash has no types for it.
            ClientsideFunction("driftline", "open_window" if way == "clickData" else "open_range"),
            Output("opened", "data", allow_duplicate=True),
            Input(figure, way),
            prevent_initial_call=True,
        )
    return app


def _draw(stores: Stores, address: Address) -> tuple[orjson.Fragment, str]:
    """Draw a page with its mark; a fault of ours is logged, and the page says so."""
    try:
        return _written(render(stores, address))
    except Exception:  # Dash would answer 500 and keep the trace to itself.
        log.exception("page crashed page=%s monitor=%r", address.page, address.monitor)
        why = "A fault of the dashboard; its log has the details."
        return _written(ui.problem("This page cannot be shown", why))


def _written(drawn: html.Div) -> tuple[orjson.Fragment, str]:
    """Write a page once, with a mark that is equal for equal ones."""
    text = orjson.dumps(drawn, _PLAIN, _JSON)
    return orjson.Fragment(text), hashlib.blake2b(text, digest_size=12).hexdigest()


def _shell() -> html.Div:
    """Lay out what stays while pages change."""
    name = [html.Span(className="mark"), html.Span("driftline")]
    links = [
        ui.marked(html.A(words, href=paths.split()[0]), data_paths=paths) for words, paths in PLACES
    ]
    button = partial(html.Button, className="theme", type="button")
    theme = button("Theme: system", id="theme", title="Change theme")
    zone = button("Times: UTC", id="zone", title=ZONES)
    header = [
        html.A("Skip to content", href="#main", className="skip"),
        ui.marked(html.A(name, href="/", className="brand"), aria_label="driftline"),
        ui.marked(html.Nav(links, className="places"), aria_label="Pages"),
        html.Span(id="as-of", className="as-of"),
        _range_menu(),
        zone,
        theme,
        *_person(),
    ]
    # assets/refresh.js writes into "away" and "old" when no answer comes.
    page = html.Div(html.Div(className="skeleton"), id="page")
    main = html.Main([html.Div(id="away", role="alert"), page], id="main", tabIndex=-1)
    parts = [
        dcc.Location(id="url", refresh="callback-nav"),
        *(dcc.Store(id=name) for name in ("tick", "shown", "answered", "opened")),
        html.Header(header, className="top"),
        html.Div(id="said", role="status"),
        html.Div(id="old", role="alert"),
        ui.marked(main, data_refresh_ms=str(REFRESH_MS)),
    ]
    return html.Div(parts, className="shell")


def _range_menu() -> html.Details:
    """Offer the span of time that all pages show; assets/pages.js marks the one of the address."""
    ways = [html.A(words, href=f"?from={start}") for start, words in RANGES.items()]
    for way, start in zip(ways, RANGES, strict=True):
        ui.marked(way, data_from=start)
    fields = [field("from", "From, UTC", hint="2026-01-31"), field("to", "To, UTC", hint="now")]
    copy = html.Button("Copy a link with fixed times", id="copy", type="button", className="button")
    items = [*ways, ask_form(fields, "Show", anchor=""), copy]
    summary = html.Summary("Range: all", id="range")
    return html.Details([summary, html.Ul([*map(html.Li, items)])], className="windows range")


def _person() -> list[ui.Cell]:
    """Show who is logged in, with the way out, which a proxy has itself."""
    who = CURRENT.get()
    if who.via == "off":
        return []
    about = f"{who.subject}: {', '.join(sorted(who.roles))}"
    name = html.Span(who.subject, className="who", title=about)
    button = html.Button("Log out", id="logout", type="button", className="button small")
    return [ui.marked(name, data_csrf=CSRF.get()), *([button] if who.via != "proxy" else [])]
