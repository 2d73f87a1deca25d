"""The figures are those of a second run, and of an installation as bench/serving.py loads it.

All ask for a token, as an installation that others reach does. Needs a machine with nothing else on
it; the rates are taken in turn.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.access.tokens import read_token
from driftline.app.recommend.load import Phase, request_of, run
from driftline.app.recommend.sample import fit_sample, read_sample
from driftline.app.recommend.trial import Candidate, Plan, own_server
from tests.kit.installation import Installation

ROUNDS, USERS, SECONDS = 5, 16, 4.0


@pytest.mark.full
def test_a_second_run_and_an_installation_have_the_rate_within_a_tenth(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(10_000, 20))
    label = (values[:, :4].sum(axis=1) + rng.normal(size=10_000) > 0).astype(int)
    frame = pd.DataFrame(values, columns=[f"f{at}" for at in range(20)])
    frame.to_parquet(tmp_path / "rows.parquet")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, label)
    skops.io.dump(model, tmp_path / "model.skops")
    candidate = Candidate("skops", str(tmp_path / "model.skops"), 1)
    plan = Plan([Phase(USERS, seconds=SECONDS)], repetitions=1)
    read = partial(fit_sample, read_sample(str(tmp_path / "rows.parquet")))
    rates: list[list[float]] = [[], [], []]

    with (
        Installation(tmp_path / "up", '[auth]\nmode = "token"\n') as up,
        own_server(trust_pickle=False) as first,
        own_server(trust_pickle=False) as second,
    ):
        up.deploy("model", model, frame.assign(label=label), "--label", "label")
        sample = read(first.describe(candidate.model, {}))
        second.describe(candidate.model, {})
        port = int(up.url.rpartition(":")[2])
        path = "/endpoints/model/invocations"
        token = read_token(tmp_path / "up" / "store" / "access.token")
        requests = [request_of(port, path, *body, token) for body in sample.bodies]
        run(port, requests, Phase(USERS, seconds=1))
        for _ in range(ROUNDS):
            for place, trial in enumerate((first, second)):
                found = trial.measure(candidate, sample, plan).peak
                assert found is not None
                rates[place].append(found.invocations_per_minute)
            rates[2].append(run(port, requests, Phase(USERS, seconds=SECONDS)).per_minute)

    one, two, installed = map(median, rates)
    assert two == pytest.approx(one, rel=0.1), rates
    assert one == pytest.approx(installed, rel=0.1), rates
