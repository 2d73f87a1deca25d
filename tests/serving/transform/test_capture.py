"""Answers of transform jobs as captured rows: each once, and monitored as those of endpoints."""

from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest

from driftline.capture.tables.dataset import Dataset
from driftline.serving.resources.endpoints import signature_of
from driftline.serving.resources.reach import Reach
from driftline.serving.resources.worker_spec import WorkerSpec
from driftline.serving.tables import transform_queue
from driftline.serving.transform.capture import JobCapture
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.jobs import PinnedModel, create_job, get_job
from driftline.serving.transform.run import Surroundings, run_job
from tests.serving.conftest import NOW, resource

NIGHT = NOW - timedelta(days=1, hours=3)
COLUMNS = ["carrier", "origin", "distance", "temp"]


@pytest.fixture(scope="module")
def server(start, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("captured-jobs")
    with start(folder, reach=Reach(outputs=(str(folder / "root" / "outputs"),))) as found:
        answer = found.apply(
            *trained.flights(),
            resource("Endpoint", "nightly", baseline="flights"),
            resource("Endpoint", "other", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        yield found


class KilledError(BaseException):
    """Stands for the end of the process."""


def spec(name, data, folder, captured_as=None, content_type="text/csv", **more):
    return TransformJobSpec.model_validate(
        {
            "transform_job_name": name,
            "endpoint_name": "flights",
            "transform_input": {
                "data_source": {"s3_data_source": {"s3_uri": str(data)}},
                "content_type": content_type,
            },
            "transform_output": {"s3_output_path": str(folder / name)},
            "data_capture_config": {"endpoint_name": captured_as},
            **more,
        }
    )


def run(server, trained, job, tmp_path, *, when=NIGHT, capture=JobCapture, begins=True):
    """Run a job that was created at some time, as the process of a server does."""
    signature = signature_of(server.engine, "flights").to_json()
    about = {"has_probability": True, "classes": [0, 1], "feature_names": COLUMNS}
    model = PinnedModel(
        file=str(trained.file), trust_pickle=True, positive=None, description=about,
        signature=signature, captured_signature=signature,
    )  # fmt: skip
    with server.engine.begin() as connection:
        if begins:
            create_job(connection, job, model, when)
    transform_queue.claim(server.engine, "here", when, 1)
    launch = WorkerSpec(str(trained.file), signature=signature)
    around = Surroundings(
        server.engine, "here", tmp_path, lambda: NOW, lambda _job: launch,
        partial(capture, str(server.root), None), Reach(outputs=(str(tmp_path),)),
    )  # fmt: skip
    return run_job(job.transform_job_name, around)


def table(server, endpoint):
    return Dataset(str(server.root), endpoint).open().to_table().to_pandas()


@pytest.mark.parametrize(
    ("form", "days"),
    [("text/csv", 10), ("application/jsonlines", 20), ("application/x-parquet", 30)],
)
def test_rows_are_those_that_the_model_was_sent_and_answered(server, trained, tmp_path, form, days):
    frame = trained.inputs.head(250)
    if form == "text/csv":
        frame.to_csv(tmp_path / "rows.csv", header=False, index=False)
    elif form == "application/jsonlines":
        frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    else:
        frame.assign(id=range(250)).to_parquet(tmp_path / "rows.parquet", index=False)
    name = "of-" + form.rpartition("/")[2]
    (data,) = tmp_path.iterdir()
    when = NIGHT - timedelta(days=days)

    job = spec(name, data, tmp_path, "other", form)
    assert run(server, trained, job, tmp_path, when=when) == "Completed"

    found = table(server, "other")
    found = found[found["event_time"] == when].sort_values("row_index")
    assert found["parse_error"].isna().all()
    assert set(found["variant"]) == {"transform"}
    assert set(found["event_time"]) == {when}
    for column in COLUMNS:
        pd.testing.assert_series_equal(
            found[f"feature_{column}"], frame[column], check_names=False, check_index=False,
            check_dtype=False,
        )  # fmt: skip
    expected = trained.model.predict_proba(frame)[:, 1]
    np.testing.assert_allclose(found["probability"], expected)


@pytest.mark.parametrize("is_stored", [False, True], ids=["before it stores", "behind it"])
def test_a_process_that_ends_over_a_file_leaves_each_row_once(server, trained, tmp_path, is_stored):
    frame = trained.inputs.head(12).assign(distance=range(12))
    (tmp_path / "rows").mkdir()
    for at in range(4):
        part = frame[at * 3 : at * 3 + 3]
        part.to_csv(tmp_path / "rows" / f"{at}.csv", header=False, index=False)
    name = f"ended-{is_stored}".lower()
    single = {"batch_strategy": "SingleRecord"}
    when = NIGHT - timedelta(days=60 + is_stored)
    job = spec(name, tmp_path / "rows", tmp_path, "nightly", **single)
    calls = []

    class Ending(JobCapture):
        def store(self):
            calls.append(self)
            if len(calls) == 3 and not is_stored:
                raise KilledError
            super().store()
            if len(calls) == 3:
                raise KilledError

    with pytest.raises(KilledError):
        run(server, trained, job, tmp_path, when=when, capture=Ending)
    assert run(server, trained, job, tmp_path, begins=False) == "Completed"

    found = table(server, "nightly")
    found = found[found["event_time"] == when]
    assert sorted(found["feature_distance"]) == list(range(len(frame)))


def test_who_takes_a_job_over_scores_the_files_that_it_began_with(server, trained, tmp_path):
    data = tmp_path / "rows"
    data.mkdir()

    def put(name):  # Without a suffix, as other programs write parts.
        (data / name).write_text("UA,EWR,1400,39\n")

    class Ending(JobCapture):
        def store(self):
            super().store()
            if self.first_done:
                raise KilledError
            self.first_done = True

        first_done = False

    put("part-1")
    put("part-2")
    # The outputs lie beside the inputs.
    job = spec("over", data, tmp_path, "nightly", transform_output={"s3_output_path": str(data)})
    with pytest.raises(KilledError):
        run(server, trained, job, tmp_path, capture=Ending)
    put("part-0")
    put("part-3")
    assert run(server, trained, job, tmp_path, begins=False) == "Completed"

    outputs = {one.name for one in data.iterdir() if one.suffix == ".out"}
    assert outputs == {"part-1.out", "part-2.out"}
    with server.engine.connect() as connection:
        found = get_job(connection, job.transform_job_name)
    assert (found.file_count, found.files_done, found.record_count) == (2, 2, 2)
