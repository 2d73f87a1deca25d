"""The chooser against the table of hosting forms (docs/recommend.md)."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.recommend.chooser import QUESTIONS, choose

USUAL = {
    "complete": False, "at_once": True, "payload_mb": 0.1, "seconds": 1.0, "models": "one",
    "idle": False, "model_gb": 1.0, "gpu": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "form", "makeup"),
    [
        ({}, "real-time", "single"),
        ({"complete": True}, "batch", "single"),
        ({"complete": True, "models": "stages"}, "batch", "single"),
        ({"at_once": False}, "asynchronous", "single"),
        ({"at_once": False, "models": "stages"}, "asynchronous", "pipeline"),
        ({"at_once": False, "models": "similar"}, "asynchronous", "single"),
        ({"payload_mb": 6.0}, "real-time", "single"),
        ({"payload_mb": 6.1}, "asynchronous", "single"),
        ({"seconds": 60.0}, "real-time", "single"),
        ({"seconds": 61.0}, "asynchronous", "single"),
        ({"idle": True}, "serverless", "single"),
        ({"idle": True, "payload_mb": 4.1}, "real-time", "single"),
        ({"idle": True, "model_gb": 6.5}, "real-time", "single"),
        ({"idle": True, "gpu": True}, "real-time", "single"),
        ({"idle": True, "models": "share"}, "serverless", "variants"),
        ({"idle": True, "models": "similar"}, "real-time", "multi-model"),
        ({"models": "similar"}, "real-time", "multi-model"),
        ({"models": "different"}, "real-time", "multi-container"),
        ({"models": "stages"}, "real-time", "pipeline"),
        ({"models": "share"}, "real-time", "variants"),
        ({"models": "candidate"}, "real-time", "shadow"),
    ],
)
def test_the_form_follows_from_the_answers(said, form, makeup) -> None:
    found = choose({**USUAL, **said}.__getitem__)

    assert (found.form, found.makeup) == (form, makeup)
    assert found.reasons
    assert found.declared


def test_only_what_matters_is_asked_and_what_is_missing_is_named() -> None:
    asked = ["choose", "--complete", "--models", "one", "--json"]
    run = CliRunner()

    found = run.invoke(build("choose"), asked)
    missing = run.invoke(build("choose"), ["choose", "--no-complete"])

    value = json.loads(found.stdout)
    assert (value["form"], value["makeup"]) == ("batch", "single")
    assert "--at-once is missing: Does a caller wait" in str(missing.exception)


def test_what_is_typed_is_read_by_its_beginning() -> None:
    assert QUESTIONS["complete"].read(" Y") is True
    assert QUESTIONS["complete"].read("no") is False
    assert QUESTIONS["models"].read("sim") == "similar"
    assert QUESTIONS["payload_mb"].read("2.5") == 2.5
    for wrong in ("s", "both", ""):
        with pytest.raises(ValueError):
            QUESTIONS["models"].read(wrong)


def test_on_a_terminal_what_no_option_says_is_asked_until_it_is_answered() -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"\nboth\ny\n2.5\n\n\nsim\n")
    command = [sys.executable, "-m", "driftline", "choose"]

    found = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=60)

    for end in (ours, theirs):
        os.close(end)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip().startswith("real-time, multi-model\n- callers wait")
    assert found.stderr.count("Does a caller wait for each answer?") == 2
