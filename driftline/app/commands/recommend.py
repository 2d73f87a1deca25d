"""Commands that help to decide how a model is served; neither needs a server."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from driftline.app.commands import options
from driftline.app.commands.output import Answer, Table
from driftline.app.progress import progress
from driftline.errors import InputError


def recommend(
    model: Annotated[str, "Model file, or a folder with one."],
    sample: Annotated[str, "--sample DATA", "Rows to ask for, or capture files of an endpoint."],
    p95: Annotated[float | None, "--p95 MS", "Slowest P95 that is good enough."] = None,
    prices: Annotated[Path | None, "--prices FILE", "TOML: what machines cost."] = None,
    phase: Annotated[
        list[str] | None,
        "--phase USERS[:SPAWN[:SECONDS]]",
        "Load: users, more of them a minute, for how long [1, 2, 4 … 64 users, 2 s each].",
    ] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Of each phase.")] = 3,
    cores: Annotated[
        int | None, typer.Option(min=1, max=64, help="Workers and threads at most [all cores].")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of a request.")] = 1,
    exclude: Annotated[
        list[str] | None, "Column that the model does not take (repeatable)."
    ] = None,
    report: Annotated[Path | None, "--report FILE", "Write a page (.html) as well."] = None,
    force: Annotated[bool, "--force", "Measure on a busy machine, too."] = False,
    config_file: options.SettingsFile = None,
) -> Answer:
    """Measure how a model is served best on this machine, and recommend it.

    Tries 1 worker up to one a core, threads, requests together and one by one, ONNX beside the
    model as it is, and serverless, each on a server of its own under growing load.

    Example: driftline recommend late.skops --sample train.parquet --p95 20 --prices prices.toml
    """
    # Imported here: what runs models is slow to import.
    import yaml

    from driftline.app.recommend.phases import LADDER, Phase
    from driftline.app.recommend.prices import Prices
    from driftline.app.recommend.sample import read_sample
    from driftline.app.recommend.search import ONNX, require_idle, search
    from driftline.app.recommend.trial import Plan

    phases = [Phase.read(one) for one in phase or ()] or LADDER
    table = None if prices is None else Prices.read(prices)
    plan = Plan(phases, repetitions, cores or os.cpu_count() or 1, p95, table)
    settings = options.load_settings(config_file)
    options.open_places(sample, config_file=config_file)
    read = partial(read_sample, sample, exclude=exclude or (), rows=rows)
    if report is not None and not report.parent.is_dir():
        raise InputError(f"--report {report}: there is no such folder")  # Before minutes of load.
    if not force:
        require_idle()
    with progress("measuring", unit="configurations") as advance:
        trust = settings.serving.trust_pickle
        found = search(Path(model), read, plan, trust_pickle=trust, advance=advance)
    (best, reason), name, file = found.best, Path(model).stem, model
    lines = [f"{best.candidate.name}: {reason}", *found.left_out]
    if best.candidate.runtime == ONNX and Path(model).suffix != ".onnx":
        file = str(Path(model).with_suffix(".onnx"))
        lines.append(f"make it by: driftline model convert {model} {file} --reference {sample}")
    if report is not None:
        report.write_text(found.page(f"{name}: how it is served best"), "utf-8")
    document = found.document(name, file)
    tables = [Table(one, found.rows()) for one in found.columns()]
    declared = yaml.safe_dump_all(document["resources"], sort_keys=False).rstrip()
    return Answer(document, [*tables, "", *lines, "", declared])


def choose(
    complete: Annotated[bool | None, "--complete/--no-complete", "All input is there."] = None,
    at_once: Annotated[bool | None, "--at-once/--later", "A caller waits for the answer."] = None,
    payload_mb: Annotated[float | None, "--payload-mb MB", "Of a request."] = None,
    seconds: Annotated[float | None, "--seconds S", "That an answer may take."] = None,
    models: Annotated[
        Literal["one", "similar", "different", "stages", "share", "candidate"] | None,
        "--models",
        "How many, and how they stand together.",
    ] = None,
    idle: Annotated[
        bool | None, "--idle/--no-idle", "Long times without a call; the first one may wait."
    ] = None,
    model_gb: Annotated[float | None, "--model-gb GB", "Memory that the model needs."] = None,
    gpu: Annotated[bool | None, "--gpu/--no-gpu", "It needs a GPU."] = None,
) -> Answer:
    """Choose between real-time, serverless, asynchronous and batch inference, by questions.

    Asks on a terminal what no option says, and only what matters for the answer.

    Example: driftline choose --no-complete --later --models one
    """
    given: dict[str, bool | float | str | None] = dict(locals())
    from driftline.app.recommend.chooser import QUESTIONS
    from driftline.app.recommend.chooser import choose as choose_form

    def answer(name: str) -> bool | float | str:
        question = QUESTIONS[name]
        while (said := given[name]) is None:
            if not sys.stdin.isatty():
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} is missing: {question.text}")
            with suppress(ValueError):  # It is asked again.
                given[name] = question.read(
                    typer.prompt(question.asked, question.default, err=True)
                )
        return said

    found = choose_form(answer)
    value = {**asdict(found), "declared": found.declared}
    title = found.form if found.makeup == "single" else f"{found.form}, {found.makeup}"
    lines = [title, *(f"- {one}" for one in found.reasons)]
    return Answer(value, [*lines, f"declare it by: {'; '.join(found.declared)}"])
