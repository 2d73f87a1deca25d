"""Commands that are processes of an installation, or start them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.app.commands import options
from driftline.app.logs import configure_logging
from driftline.errors import InputError
from driftline.loopback import require_loopback

if TYPE_CHECKING:
    from driftline.settings.settings import Settings

log = logging.getLogger(__name__)

PROXY_PORT = 8085  # The next one after those of `driftline up` and its processes.


def up(
    config_file: options.SettingsFile = None,
    only: Annotated[
        str,
        "--only NAME,...",
        "Only these: server, capture (with Kafka sidecar, sink), scheduler, alarms, dashboard.",
    ] = "",
) -> None:
    """Start all processes and keep them running until Ctrl-C.

    Example: driftline up -c driftline.toml
    """
    # Imported here, as the processes are: to explain the commands, nobody needs them.
    from driftline.app.up import become_supervisor
    from driftline.database.engine import using_database
    from driftline.database.migrations import migrate

    found = options.load_process_settings(config_file)
    roles = [name for name in only.split(",") if name]
    for section, host in (("server", found.server.host), ("dashboard", found.dashboard.host)):
        if found.auth.mode == "off" and (not roles or section in roles):
            require_loopback(section, host)
    has_rules = {"capture.redact", "capture.redact_names"} & found.sources.keys()
    if has_rules and (not roles or {"capture", "sidecar"}.intersection(roles)):
        # Refused here in one sentence, not by a process that ends again and again.
        from driftline.app.processes import redactor

        redactor(found)
    typer.echo(f"starting, with {found.file or 'the default settings'}", err=True)
    with using_database(found.database_url) as engine:
        migrate(engine)
    become_supervisor(found.file, roles)


def _listener(name: str, about: str) -> Callable[..., None]:
    def listen(
        config_file: options.SettingsFile = None,
        host: Annotated[str | None, "Address to listen on."] = None,
        port: Annotated[int | None, "Port to listen on."] = None,
    ) -> None:
        given = {"host": host, "port": port}
        flags = {(name, key): value for key, value in given.items() if value is not None}
        _run(name, options.load_process_settings(config_file, flags))

    listen.__doc__ = f"{about}\n\nExample: driftline {name} -c driftline.toml --port 9000"
    return listen


def _process(name: str, about: str) -> Callable[..., None]:
    def run(config_file: options.SettingsFile = None) -> None:
        found = options.load_process_settings(config_file)
        if name in ("sidecar", "sink") and found.transport != "kafka":
            raise InputError(
                f"{name}: without [kafka] bootstrap_servers sidecar and sink are one process; "
                "run: driftline up --only capture, or name some brokers"
            )
        _run(name, found)

    run.__doc__ = f"{about}\n\nExample: driftline {name} -c driftline.toml"
    return run


server = _listener("server", "Run the inference server and the programming interface.")
dashboard = _listener("dashboard", "Run the dashboard.")
scheduler = _process("scheduler", "Run the monitors when they are due.")
alarms = _process("alarms", "Evaluate the alarms and deliver their messages.")
sidecar = _process("sidecar", "Ship this host's captured records to Kafka; one a host.")
sink = _process("sink", "Write records from Kafka to the tables; several share the work.")


def demo(
    days: Annotated[
        int, typer.Option(min=1, max=365, help="Replay the last N days of the year.")
    ] = 90,
    year: Annotated[bool, "--year", "Replay all 365 days."] = False,
    browser: Annotated[bool, "--browser/--no-browser", "Open the dashboard."] = True,
    leave: Annotated[bool, "--exit", "Stop when the replay is done."] = False,
    folder: Annotated[Path, "Where the demo lives."] = Path(".driftline/demo"),
) -> None:
    """Replay real flights through a monitored model.

    Requests, capture and labels, monitors of data quality, model quality, bias and attribution,
    alarms, pages, dashboard; one fault is planted openly. Its page comes within a minute.

    Example: driftline demo --days 60
    """
    # Imported here because it pulls in scikit-learn and the flights, which no other command needs.
    from driftline.app.demo.run import run_demo

    configure_logging()
    span = 365 if year else days
    raise typer.Exit(run_demo(days=span, browser=browser, stay=not leave, folder=folder))


def proxy(
    upstream: Annotated[str, "--upstream URL", "Server that answers the requests."],
    endpoint: Annotated[str, "--endpoint NAME", "Name that they are recorded under."],
    host: Annotated[str, "Address to listen on."] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PROXY_PORT,
    path: Annotated[
        list[str] | None, "--path PATH", "Record only POSTs to this path; repeatable."
    ] = None,
    sampling: Annotated[
        float, "--sampling-percentage", "Share of requests that is recorded."
    ] = 100.0,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Longest time without an answer, seconds.", min=0.1)
    ] = 60.0,
    config_file: options.SettingsFile = None,
) -> None:
    """Capture in front of a model server that cannot load dl.Capture.

    Requests pass both ways as they come, streams too; POSTs are recorded into the spool of this
    folder's installation, and `driftline up` stores them.

    Example: driftline proxy --upstream http://127.0.0.1:8000 --endpoint flights --path /predict
    """
    # Imported here, as the processes are.
    from driftline.app.listener import listen, serve
    from driftline.capture.tap.asgi import REQUEST_ID_KEY
    from driftline.capture.tap.proxy import ReverseProxy, proxy_app
    from driftline.capture.tap.tap import Capture
    from driftline.tracing import traced, tracing

    settings = options.load_process_settings(config_file)
    require_loopback("proxy", host)
    with tracing("proxy"):
        tap = Capture(
            # The tap gives an id to what is recorded under the endpoint.
            traced(
                ReverseProxy(upstream, timeout_s=timeout),
                lambda scope: endpoint if REQUEST_ID_KEY in scope else None,
            ),
            endpoint=endpoint,
            paths=path,
            sampling_percentage=sampling,
            place=settings.capture_place,
        )
        listener = listen("proxy", host, port, mend="give another --port")

        def ready() -> None:
            typer.echo(f"http://{host}:{port} -> {upstream}; Ctrl-C ends it", err=True)

        serve(proxy_app(tap), listener, ready)


def _run(name: str, found: Settings) -> None:
    from driftline.app.processes import run_process
    from driftline.app.up import tell_login

    def ready() -> None:
        if name == "dashboard":
            tell_login(found)
        log.info("process=%s ready; Ctrl-C ends it", name)

    log.info("process=%s starting settings=%s", name, found.file or "default")
    run_process(name, found, ready, [name])
