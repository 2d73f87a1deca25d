"""A whole run on a real server: candidates, load, table, page, and what is declared of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from driftline.app.recommend.trial import Candidate, own_server
from tests.servers.commands import driftline

PRICES = """
currency = "EUR"
[[instance]]
name = "small"
cores = 64
memory_gib = 512
per_hour = 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recommend")
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, 4))
    late = (values[:, 0] + rng.normal(size=500) > 0).astype(int)
    skops.io.dump(LogisticRegression().fit(values, late), folder / "late.skops")
    frame = pd.DataFrame(values, columns=["a", "b", "c", "d"])
    frame.assign(late=late).to_csv(folder / "rows.csv", index=False)
    (folder / "prices.toml").write_text(PRICES)
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--report", "none/page.html"), "--report none/page.html: there is no such folder"),
        (("--sample", "none.csv"), "none.csv"),
        (("--prices", "none.toml"), "none.toml: cannot be read as a price table"),
    ],
)
def test_what_it_could_not_do_is_refused_before_the_model_is_looked_at(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    asked = ("recommend", "none.skops", "--sample", "rows.csv", "--force", "--exclude", "late")

    found = driftline(*asked, *words, cwd=folder)

    assert found.returncode == 2
    assert said in found.stderr


def test_a_trial_answers_nobody_without_its_token(folder: Path) -> None:
    model = str(folder / "late.skops")
    resources = Candidate("skops", model, 1).resources("candidate")

    with own_server(folder, trust_pickle=True) as trial:
        trial.describe(model, {})
        url = trial._client.server
        found = {
            path: httpx.request(method, f"{url}{path}", json=resources).status_code
            for method, path in (
                ("POST", "/api/v1/apply"), ("PUT", "/bucket"), ("PUT", "/bucket/model.pkl"),
                ("POST", "/endpoints/candidate/invocations"), ("GET", "/api/v1/models"),
            )
        }  # fmt: skip

    assert found == dict.fromkeys(found, 401)


def test_a_model_is_measured_and_one_configuration_is_recommended(folder: Path) -> None:
    asked = ("--sample", "rows.csv", "--exclude", "late", "--cores", "1", "--repetitions", "1")
    load = ("--phase", "1:0:0.2", "--phase", "2:0:0.2", "--prices", "prices.toml", "--force")

    found = driftline(
        "recommend", "late.skops", *asked, *load, "--report", "page.html", "--json", cwd=folder,
        # Its workers have a limit of memory, below what those share that are forked for all tests.
        env={**os.environ, "LANG": "C"},
    )  # fmt: skip

    assert found.returncode == 0, found.stderr
    value = json.loads(found.stdout)
    assert [one["configuration"] for one in value["results"]] == [
        "skops 1x1", "skops 1x1 alone", "onnx 1x1", "onnx 1x1 alone", "skops serverless 1G",
        "onnx serverless 1G",
    ]  # fmt: skip
    for one in value["results"]:
        assert one["peak"]["invocations_per_minute"] > 60, one
        assert 0 < one["peak"]["p50_ms"] <= one["peak"]["p95_ms"] <= one["peak"]["p99_ms"]
        assert one["peak"]["memory_mib"] > 50
        assert one["cost"] or "serverless" in one["configuration"]
    assert value["recommendation"] in [one["configuration"] for one in value["results"]]
    assert value["recommendation"] in (folder / "page.html").read_text()
