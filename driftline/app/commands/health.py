"""Commands that look after an installation: doctor."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from driftline.app.commands import options
from driftline.app.logs import configure_logging
from driftline.app.processes import clock
from driftline.app.settings.settings import load

if TYPE_CHECKING:
    from driftline.app.doctor import Finding

MARKS = {"ok": "ok", "warning": "WARN", "defect": "DEFECT"}


def doctor(config_file: options.SettingsFile = None, as_json: options.AsJson = False) -> None:
    """Examine machine, stores and processes, and say the mend of what is wrong.

    Exit code 0: nothing is wrong (warnings may stand there); 1: a defect.

    Example: driftline doctor -c driftline.toml
    """
    # Imported here: the examination needs every store's library, and its options none.
    from driftline.app.doctor import examine, worst

    configure_logging()
    found = load(config_file, environment=os.environ)
    findings: list[Finding] = []
    for finding in examine(found, now=clock(found)):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{MARKS[finding.verdict]:<7} {finding.what:<18} {finding.found}")
            if finding.mend:
                typer.echo(f"{'':<7} {'':<18} mend: {finding.mend}")
    verdict = worst(findings)
    if as_json:
        options.show_json({"verdict": verdict, "findings": [asdict(one) for one in findings]})
    if verdict == "defect":
        raise typer.Exit(1)
