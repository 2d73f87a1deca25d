"""The command that puts capture in front of a server of somebody else."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.app.commands import options

PORT = 8085  # The next one after those of `driftline up` and its processes.


def proxy(
    upstream: Annotated[
        str, typer.Option("--upstream", metavar="URL", help="Server that answers the requests.")
    ],
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="NAME", help="Name that they are recorded under.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PORT,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="PATH", help="Record only POSTs to this path; repeatable."),
    ] = None,
    sampling: Annotated[
        float, typer.Option("--sampling-percentage", help="Share of requests that is recorded.")
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
    # Imported here: to explain the command, nobody reads settings.
    from driftline.app.processes import run_proxy

    run_proxy(
        options.load_process_settings(config_file),
        lambda: typer.echo(f"http://{host}:{port} -> {upstream}; Ctrl-C ends it", err=True),
        upstream=upstream,
        endpoint=endpoint,
        host=host,
        port=port,
        paths=path,
        sampling_percentage=sampling,
        timeout_s=timeout,
    )
