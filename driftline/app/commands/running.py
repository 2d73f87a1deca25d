"""Commands that are processes of an installation, or look at how one is set."""

from __future__ import annotations

import logging
import subprocess
import sys
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

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]


def up(
    config_file: options.SettingsFile = None,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="NAME,...",
            help="Only these: server, capture (with Kafka sidecar, sink), scheduler, alarms, "
            "dashboard.",
        ),
    ] = "",
) -> None:
    """Start all processes and keep them running until Ctrl-C.

    Example: driftline up -c driftline.toml
    """
    # Imported here, as the processes are: to explain the commands, nobody reads settings.
    from driftline.app.commands.supervise import watch

    found = options.load_process_settings(config_file)
    roles = [name for name in only.split(",") if name]
    _require_loopback(found, roles)
    has_rules = {"capture.redact", "capture.redact_names"} & found.sources.keys()
    if has_rules and (not roles or {"capture", "sidecar"}.intersection(roles)):
        # Refused here in one sentence, not by a process that ends again and again.
        from driftline.app.processes import redactor

        redactor(found)
    typer.echo(f"starting, with {found.file or 'the default settings'}", err=True)
    _migrate(found)
    watch(found, roles)


def server(
    config_file: options.SettingsFile = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Run the inference server and the programming interface.

    Example: driftline server -c driftline.toml --port 9000
    """
    _listen("server", config_file, host, port)


def dashboard(
    config_file: options.SettingsFile = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Run the dashboard.

    Example: driftline dashboard -c driftline.toml
    """
    _listen("dashboard", config_file, host, port)


def scheduler(config_file: options.SettingsFile = None) -> None:
    """Run the monitors when they are due.

    Example: driftline scheduler -c driftline.toml
    """
    _run("scheduler", options.load_process_settings(config_file))


def alarms(config_file: options.SettingsFile = None) -> None:
    """Evaluate the alarms and deliver their messages.

    Example: driftline alarms -c driftline.toml
    """
    _run("alarms", options.load_process_settings(config_file))


def sidecar(config_file: options.SettingsFile = None) -> None:
    """Ship this host's captured records to Kafka; one a host.

    With the local transport there is nothing to ship to: sidecar and sink are one process.

    Example: driftline sidecar -c driftline.toml
    """
    _run("sidecar", _with_kafka("sidecar", options.load_process_settings(config_file)))


def sink(config_file: options.SettingsFile = None) -> None:
    """Write records from Kafka to the tables; several share the work.

    With the local transport there is nothing to read from: sidecar and sink are one process.

    Example: driftline sink -c driftline.toml
    """
    _run("sink", _with_kafka("sink", options.load_process_settings(config_file)))


def demo(
    days: Annotated[
        int, typer.Option(min=1, max=365, help="Replay the last N days of the year.")
    ] = 90,
    year: Annotated[bool, typer.Option("--year", help="Replay all 365 days.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the dashboard.")
    ] = True,
    leave: Annotated[bool, typer.Option("--exit", help="Stop when the replay is done.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo lives.")] = Path(".driftline/demo"),
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


def _listen(name: str, config_file: Path | None, host: str | None, port: int | None) -> None:
    """Be a process that listens, where the options say and otherwise the settings."""
    from driftline.settings.settings import override

    found = options.load_process_settings(config_file)
    for key, value in (("host", host), ("port", port)):
        found = override(found, name, key, value) if value is not None else found
    _run(name, found)


def _run(name: str, found: Settings) -> None:
    """Be one process of an installation."""
    from driftline.app.processes import run_process

    def ready() -> None:
        if name == "dashboard":
            _show_login(found)
        log.info("process=%s ready; Ctrl-C ends it", name)

    log.info("process=%s starting settings=%s", name, found.file or "default")
    run_process(name, found, ready, [name])


def _show_login(found: Settings) -> None:
    """Print how the user of this machine gets into the dashboard: never where a log is kept."""
    from driftline.app.commands.supervise import log_in_line

    if found.auth.mode != "off":
        typer.echo(log_in_line(found.dashboard_url, found.token_file), err=True)


def _migrate(found: Settings) -> None:
    """Bring the schema up to date in a process of its own: this one lives on, without SQL."""
    command = [sys.executable, "-P", "-m", "driftline", "migrate"]
    command += ["-c", str(found.file)] if found.file is not None else []
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - our own module, with our own arguments
    if done.returncode:
        raise typer.Exit(done.returncode)


def _require_loopback(found: Settings, roles: list[str]) -> None:
    """Refuse a listener for others before anything starts; ``roles``: those to run, or all."""
    for section, host in (("server", found.server.host), ("dashboard", found.dashboard.host)):
        if found.auth.mode == "off" and (not roles or section in roles):
            require_loopback(section, host)


def _with_kafka(name: str, found: Settings) -> Settings:
    if found.transport != "kafka":
        raise InputError(
            f"{name}: without [kafka] bootstrap_servers sidecar and sink are one process; "
            "run: driftline up --only capture, or name some brokers"
        )
    return found
