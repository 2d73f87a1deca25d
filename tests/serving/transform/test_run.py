import gzip
import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.servers.commands import driftline

NAMES = ["a", "b", "c"]


def transform(*arguments, **more):
    """Run the command in a process of its own."""
    return driftline("transform", *arguments, **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("transform")


@pytest.fixture(scope="module")
def rows():
    values = np.random.default_rng(3).normal(size=(20_000, 3)).round(4)
    return pd.DataFrame(values, columns=NAMES)


@pytest.fixture(scope="module")
def model(rows):
    return LogisticRegression().fit(rows, (rows["a"] > rows["b"]).astype(int))


@pytest.fixture(scope="module")
def model_file(place, model):
    skops.io.dump(model, place / "model.skops")
    return place / "model.skops"


def names_in(folder):
    return sorted(one.name for one in folder.iterdir())


def expected_of(model, rows):
    return model.predict(rows), model.predict_proba(rows)[:, 1]


def test_csv_is_scored_in_order_and_joined_to_what_was_sent(place, rows, model, model_file):
    rows.to_csv(place / "rows.csv", index=False)
    out = place / "joined"

    done = transform(
        model_file, place / "rows.csv", "-o", out, "--skip-header", "--join-source", "Input",
        "--json",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["transform_job_status"] == "Completed"
    assert job["progress"]["records"] == len(rows)
    found = pd.read_csv(out / "rows.csv.out", header=None)
    labels, chances = expected_of(model, rows)
    assert found.iloc[:, :3].to_numpy().tolist() == rows.to_numpy().tolist()
    assert found[3].tolist() == labels.tolist()
    assert np.allclose(found[4], chances, rtol=1e-12)
    assert names_in(out) == ["rows.csv.out"]


def test_filters_choose_what_is_sent_and_kept(place, rows, model, model_file):
    few = rows[:50].assign(id=[f'x,"{at}"' for at in range(50)])[["id", *NAMES]]
    (place / "ids.csv.gz").write_bytes(
        gzip.compress(few.to_csv(index=False, header=False).encode())
    )

    done = transform(
        model_file, place / "ids.csv.gz", "-o", place / "filtered", "--input-filter", "$[1:]",
        "--join-source", "Input", "--output-filter", "$[0,-1]",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    found = pd.read_csv(place / "filtered" / "ids.csv.gz.out", header=None)
    assert found[0].tolist() == few["id"].tolist()
    assert np.allclose(found[1], expected_of(model, rows[:50])[1], rtol=1e-12)


def test_json_lines_are_joined_under_the_names_of_sagemaker(place, rows, model, model_file):
    few = rows[:20]
    few.to_json(place / "rows.jsonl", orient="records", lines=True)

    done = transform(
        model_file, place / "rows.jsonl", "-o", place / "lines", "--join-source", "Input"
    )

    assert done.returncode == 0, done.stderr
    lines = (place / "lines" / "rows.jsonl.out").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [{name: one[name] for name in NAMES} for one in found] == few.to_dict("records")
    labels = expected_of(model, few)[0].tolist()
    assert [one["SageMakerOutput"]["prediction"] for one in found] == labels


def test_a_folder_of_parquet_becomes_one_with_predictions(place, rows, model, model_file):
    for day in (1, 2):
        folder = place / "days" / f"day={day}"
        folder.mkdir(parents=True)
        few = rows[day * 100 : day * 100 + 100].assign(id=range(100))
        few.to_parquet(folder / "part.parquet", index=False)

    done = transform(model_file, place / "days", "-o", place / "scored", "--join-source", "Input")

    assert done.returncode == 0, done.stderr
    found = pq.read_table(place / "scored" / "day=2" / "part.parquet").to_pandas()
    labels, chances = expected_of(model, rows[200:300])
    assert list(found) == [*NAMES, "id", "prediction", "probability"]
    assert found["prediction"].tolist() == labels.tolist()
    assert np.allclose(found["probability"], chances, rtol=1e-12)


def test_a_failing_record_is_named_and_its_file_has_no_output(place, rows, model_file):
    folder = place / "bad"
    folder.mkdir()
    lines = rows[:9000].to_csv(index=False, header=False).splitlines()
    (folder / "a.csv").write_text("\n".join(lines))
    lines[7776] = "1,secret,3"
    (folder / "b.csv").write_text("\n".join(lines))

    done = transform(model_file, folder, "-o", place / "half", "--json")

    assert done.returncode == 3, done.stderr
    assert "b.csv: record 7777 (1,secret,3): row 1" in done.stderr
    logged = [line for line in done.stderr.splitlines() if "event=" in line]
    assert "secret" not in "".join(logged)
    assert names_in(place / "half") == ["a.csv.out"]


def test_a_record_that_ends_the_models_process_is_found(place, slow_model):
    lines = ["0"] * 40
    lines[29] = "-1"
    (place / "slow.csv").write_text("\n".join(lines))
    trusted = {**os.environ, "DRIFTLINE_SERVING__TRUST_PICKLE": "true"}

    done = transform(slow_model, place / "slow.csv", "-o", place / "slow", "--json", env=trusted)

    assert done.returncode == 3, done.stderr
    assert "record 30 (-1)" in done.stderr


def test_a_header_is_not_scored_as_a_record(place, model_file):
    (place / "header.csv").write_text("a,b,c\n")

    done = transform(model_file, place / "header.csv", "-o", place / "headed")

    assert (done.returncode, "--skip-header" in done.stderr) == (2, True), done.stderr
    assert not (place / "headed" / "header.csv.out").exists()
