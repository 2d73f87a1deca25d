"""From captured lines through SageMaker's record scripts to a verdict by segment, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from driftline.app.cli import build
from driftline.errors import InputError

PREPROCESS = """
def preprocess_handler(inference_record):
    input_data = inference_record.endpoint_input.data
    output_data = inference_record.endpoint_output.data.rstrip("\\n")
    data = output_data + "," + input_data
    names = ["score", "temp", "shop"]
    return {name: d for name, d in zip(names, data.split(","))}
"""
POSTPROCESS = """
import json, os

def postprocess_handler():
    with open(os.path.join(os.environ["output_path"], "constraint_violations.json")) as file:
        count = len(json.load(file)["violations"])
    with open(os.path.join(os.environ["output_path"], "count.txt"), "w") as file:
        file.write(str(count))
"""


def line(index: int, rng: np.random.Generator, factor: float) -> str:
    shop = ["Bern", "Lyon", "Rome"][index % 3]
    temp = rng.gamma(4, 10) * (factor if shop == "Rome" else 1)
    sides = {
        "endpointInput": ("INPUT", f"{temp:.1f},{shop}"),
        "endpointOutput": ("OUTPUT", f"{rng.random():.3f}\n"),
    }
    return json.dumps(
        {
            "captureData": {
                name: {
                    "observedContentType": "text/csv", "mode": mode, "data": data,
                    "encoding": "CSV",
                }
                for name, (mode, data) in sides.items()
            },
            "eventMetadata": {"eventId": f"e{index}", "inferenceTime": "2026-01-15T12:00:00Z"},
            "eventVersion": "0",
        }
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(12)
    for name, rows, factor in (("train", 4000, 1.0), ("good", 1200, 1.0), ("bad", 1200, 0.6)):
        text = "\n".join(line(index, rng, factor) for index in range(rows))
        (tmp_path / f"{name}.jsonl").write_text(text + "\n")
    (tmp_path / "pre.py").write_text(PREPROCESS)
    (tmp_path / "post.py").write_text(POSTPROCESS)
    return tmp_path


def ran(*words: object) -> Result:
    return CliRunner().invoke(build(), [str(word) for word in words])


def check(folder: Path, name: str, *more: object) -> Result:
    return ran(
        "check", folder / f"{name}.jsonl", "--baseline", folder / "base", "--preprocess",
        folder / "pre.py", *more,
    )  # fmt: skip


@pytest.fixture
def base(folder: Path) -> Path:
    found = ran(
        "baseline", folder / "train.jsonl", "--preprocess", folder / "pre.py", "--segment", "shop",
        "-o", folder / "base",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    return folder / "base"


def test_a_till_that_books_too_little_is_found_in_its_shop(folder: Path, base: Path) -> None:
    good = check(folder, "good")
    bad = check(folder, "bad", "-o", folder / "out", "--postprocess", folder / "post.py")

    assert good.exit_code == 0, good.output
    assert bad.exit_code == 1
    assert 'shop = "Rome"' in bad.output
    document = json.loads((folder / "out" / "constraint_violations.json").read_text())
    segments = {one.get("segment") for one in document["violations"]}
    assert 'shop = "Rome"' in segments
    assert segments <= {None, 'shop = "Rome"'}
    assert (folder / "out" / "count.txt").read_text() == str(len(document["violations"]))


@pytest.mark.parametrize("form", ["json", "html", "junit"])
def test_every_output_says_the_segment(folder: Path, base: Path, form: str) -> None:
    found = check(folder, "bad", "--format", form)

    assert found.exit_code == 1
    assert "Rome" in found.output


def test_compat_takes_the_columns_sorted_and_as_text(folder: Path) -> None:
    fitted = ran(
        "baseline", folder / "train.jsonl", "--preprocess", folder / "pre.py", "--compat",
        "-o", folder / "base",
    )  # fmt: skip
    judged = check(folder, "good", "--compat", "--json")

    assert fitted.exit_code == 0, fitted.output
    assert judged.exit_code == 0, judged.output
    statistics = json.loads((folder / "base" / "statistics.json").read_text())
    assert [(one["name"], one["inferred_type"]) for one in statistics["features"]] == [
        ("score", "Fractional"), ("shop", "String"), ("temp", "Fractional"),
    ]  # fmt: skip


def test_a_segment_of_another_baseline_is_wrong_use(folder: Path, base: Path) -> None:
    found = check(folder, "good", "--segment", "temp")

    assert isinstance(found.exception, InputError)
    told = 'segment "temp": the baseline does not hold its values apart (expected one of shop);'
    assert str(found.exception).startswith(told)
