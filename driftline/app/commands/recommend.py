"""Commands that help to decide how a model is served; neither needs a server."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.output import Answer, Table
from driftline.app.progress import progress
from driftline.app.recommend.chooser import QUESTIONS, Answered
from driftline.app.recommend.chooser import choose as choose_form
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

    from driftline.app.recommend.findings import Prices
    from driftline.app.recommend.findings import recommend as recommend_best
    from driftline.app.recommend.load import LADDER, Phase
    from driftline.app.recommend.sample import fit_sample, read_sample
    from driftline.app.recommend.trial import ONNX, Plan, require_idle, search

    plan = Plan(
        phases=[Phase.read(one) for one in phase or ()] or LADDER,
        repetitions=repetitions, cores=cores or os.cpu_count() or 1, max_p95_ms=p95,
    )  # fmt: skip
    settings = options.load_settings(config_file)
    price_file = prices or settings.prices_file
    table = Prices() if price_file is None else Prices.read(price_file)
    options.open_places(sample, config_file=config_file)
    if report is not None and not report.parent.is_dir():
        raise InputError(f"--report {report}: there is no such folder")  # Before minutes of load.
    asked = read_sample(sample, rows)
    if not force:
        require_idle("--force")
    read = partial(fit_sample, asked, exclude=exclude or (), rows=rows)
    with progress("measuring", unit="configurations") as advance:
        measured, left_out = search(
            Path(model), read, plan, trust_pickle=settings.serving.trust_pickle,
            advance=lambda results, count: advance(len(results), count),
        )  # fmt: skip
    found, name, file = recommend_best(measured, table, left_out), Path(model).stem, model
    lines = [f"{found.best.candidate.name}: {found.reason}", *left_out]
    if found.best.candidate.runtime == ONNX and Path(model).suffix != ".onnx":
        file = str(Path(model).with_suffix(".onnx"))
        lines.append(f"make it by: driftline model convert {model} {file} --reference {sample}")
    if report is not None:
        report.write_text(found.page(f"{name}: how it is served best"), "utf-8")
    document = found.document(name, str(Path(file).absolute()))
    declared = yaml.safe_dump_all(document["resources"], sort_keys=False).rstrip()
    return Answer(document, [*(Table(*one) for one in found.tables()), "", *lines, "", declared])


def choose(answers: dict[str, Answered | None]) -> Answer:
    """Choose between real-time, serverless, asynchronous and batch inference, by questions.

    Asks on a terminal what no option says, and only what matters for the answer.

    Example: driftline choose --no-complete --later --models one
    """

    def answer(name: str) -> Answered:
        question = QUESTIONS[name]
        while (said := answers[name]) is None:
            if not sys.stdin.isatty():
                raise InputError(f"--{name.replace('_', '-')} is missing: {question.text}")
            words = f" ({', '.join(question.words)})" if question.words else ""
            with suppress(ValueError):  # It is asked again.
                typed = typer.prompt(question.text + words, question.usual, err=True)
                answers[name] = question.read(typed)
        return said

    found = choose_form(answer)
    title = found.form if found.makeup == "single" else f"{found.form}, {found.makeup}"
    lines = [title, *(f"- {one}" for one in found.reasons)]
    return Answer(asdict(found), [*lines, f"declare it by: {'; '.join(found.declared)}"])
