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
def transform(place, model):
    """Return what scores files by the command, in a process of its own, and gives what it said."""
    skops.io.dump(model, place / "model.skops")

    def run(data, out, *words, code=0, file=place / "model.skops", env=None):
        done = driftline("transform", file, place / data, "-o", place / out, *words, env=env)
        assert done.returncode == code, done.stderr
        return done

    return run


def names_in(folder):
    return sorted(one.name for one in folder.iterdir())


def expected_of(model, rows):
    return model.predict(rows), model.predict_proba(rows)[:, 1]


def test_csv_is_scored_in_order_and_joined_to_what_was_sent(place, rows, model, transform):
    rows.to_csv(place / "rows.csv", index=False)

    done = transform("rows.csv", "joined", "--skip-header", "--join-source", "Input", "--json")

    job = json.loads(done.stdout)
    assert job["transform_job_status"] == "Completed"
    assert job["progress"]["records"] == len(rows)
    found = pd.read_csv(place / "joined" / "rows.csv.out", header=None)
    labels, chances = expected_of(model, rows)
    assert found.iloc[:, :3].to_numpy().tolist() == rows.to_numpy().tolist()
    assert found[3].tolist() == labels.tolist()
    assert np.allclose(found[4], chances, rtol=1e-12)
    assert names_in(place / "joined") == ["rows.csv.out"]


def test_filters_choose_what_is_sent_and_kept(place, rows, model, transform):
    few = rows[:50].assign(id=[f'x,"{at}"' for at in range(50)])[["id", *NAMES]]
    content = few.to_csv(index=False, header=False).encode()
    (place / "ids.csv.gz").write_bytes(gzip.compress(content))
    words = ("--input-filter", "$[1:]", "--join-source", "Input", "--output-filter", "$[0,-1]")

    transform("ids.csv.gz", "filtered", *words)

    found = pd.read_csv(place / "filtered" / "ids.csv.gz.out", header=None)
    assert found[0].tolist() == few["id"].tolist()
    assert np.allclose(found[1], expected_of(model, rows[:50])[1], rtol=1e-12)


def test_json_lines_are_joined_under_the_names_of_sagemaker(place, rows, model, transform):
    few = rows[:20]
    few.to_json(place / "rows.jsonl", orient="records", lines=True)

    transform("rows.jsonl", "lines", "--join-source", "Input")

    lines = (place / "lines" / "rows.jsonl.out").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [{name: one[name] for name in NAMES} for one in found] == few.to_dict("records")
    labels = expected_of(model, few)[0].tolist()
    assert [one["SageMakerOutput"]["prediction"] for one in found] == labels


def test_a_folder_of_parquet_becomes_one_with_predictions(place, rows, model, transform):
    for day in (1, 2):
        folder = place / "days" / f"day={day}"
        folder.mkdir(parents=True)
        few = rows[day * 100 : day * 100 + 100].assign(id=range(100))
        few.to_parquet(folder / "part.parquet", index=False)

    transform("days", "scored", "--join-source", "Input")

    found = pq.read_table(place / "scored" / "day=2" / "part.parquet").to_pandas()
    labels, chances = expected_of(model, rows[200:300])
    assert list(found) == [*NAMES, "id", "prediction", "probability"]
    assert found["prediction"].tolist() == labels.tolist()
    assert np.allclose(found["probability"], chances, rtol=1e-12)


def test_a_failing_record_is_named_and_its_file_has_no_output(place, rows, transform):
    (place / "bad").mkdir()
    lines = rows[:9000].to_csv(index=False, header=False).splitlines()
    (place / "bad" / "a.csv").write_text("\n".join(lines))
    lines[7776] = "1,secret,3"
    (place / "bad" / "b.csv").write_text("\n".join(lines))

    done = transform("bad", "half", code=3)

    assert "b.csv: record 7777 (1,secret,3): row 1" in done.stderr
    logged = [line for line in done.stderr.splitlines() if "event=" in line]
    assert "secret" not in "".join(logged)
    assert names_in(place / "half") == ["a.csv.out"]


def test_a_record_that_ends_the_models_process_is_found(place, slow_model, transform):
    (place / "slow.csv").write_text("\n".join(["0"] * 29 + ["-1"] + ["0"] * 10))
    trusted = {**os.environ, "DRIFTLINE_SERVING__TRUST_PICKLE": "true"}

    done = transform("slow.csv", "slow", code=3, file=slow_model, env=trusted)

    assert "record 30 (-1)" in done.stderr


@pytest.mark.parametrize("text", ["a,b,c\n", "Age,Income,Debt\n1,2,3\n"])
def test_a_header_is_not_scored_as_a_record(place, transform, text):
    (place / "header.csv").write_text(text)

    assert "--skip-header" in transform("header.csv", "headed", code=2).stderr
    assert not (place / "headed" / "header.csv.out").exists()
