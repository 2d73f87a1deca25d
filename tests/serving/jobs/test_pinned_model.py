import json

import pytest

from driftline.serving.jobs.store import get_job
from driftline.serving.resources.endpoints import needed_models
from driftline.serving.resources.reach import Reach
from driftline.serving.tables import job_queue
from tests.servers.commands import ForkedJob
from tests.serving.conftest import resource


def test_a_processing_job_asks_the_model_that_was_declared_when_it_was_created(
    start, trained, tmp_path
):
    rows, config, output = (
        tmp_path / name for name in ("rows.parquet", "config.json", "root/outputs")
    )
    trained.frame[:400].to_parquet(rows, index=False)
    methods = {name: {"methods": "all"} for name in ("pre_training_bias", "post_training_bias")}
    config.write_text(
        json.dumps(
            {
                "label": "late", "label_values_or_threshold": [1],
                "facet": [{"name_or_index": "origin", "value_or_threshold": ["JFK"]}],
                "predictor": {"model_name": "Late"},
                "methods": {**methods, "shap": {"num_samples": 10}},
            }
        )
    )  # fmt: skip
    spec = {
        "processing_job_name": "explain", "analyzer": "clarify",
        "processing_inputs": [
            {"name": "dataset", "s3_uri": str(rows), "local_path": "/data"},
            {"name": "analysis_config", "s3_uri": str(config), "local_path": "/config"},
        ],
        "processing_outputs": [
            {"name": "result", "s3_uri": str(output), "local_path": "/output"}
        ],
    }  # fmt: skip
    with start(tmp_path, reach=Reach(outputs=(str(output),))) as server:
        url, owner = server.engine.url.render_as_string(hide_password=False), "one"
        (tmp_path / "driftline.toml").write_text(
            f'[database]\nurl = "{url}"\n[storage]\nroot = "{server.root}"\n'
        )
        jobs = "/api/v1/processing-jobs"
        assert server.client.post(jobs, json=spec).status_code == 404
        server.must_apply(resource("Model", "late", path=str(trained.file)))
        assert server.client.post(jobs, json=spec).status_code < 300

        assert server.client.delete("/api/v1/models/late").status_code < 300
        with server.engine.connect() as connection:
            file = get_job(connection, "processing", "explain").model["file"]
            assert needed_models(connection) == {file.rpartition("/")[0]}
        job_queue.claim(server.engine, owner, server.context.lease_clock(), 1)
        process = ForkedJob(tmp_path / "driftline.toml", "processing", "explain", owner)
        process.wait(90)
        process.stdin.close()

        found = server.client.get(f"{jobs}/explain").json()
        assert found["processing_job_status"] == "Completed", found["failure_reason"]
        analysis = json.loads((output / "analysis.json").read_text())
        assert "kernel_shap" in analysis["explanations"]
        bias = analysis["post_training_bias_metrics"]
        assert bias["label"] == "late"
        metrics = {one["name"]: one["value"] for one in bias["facets"]["origin"][0]["metrics"]}
        now = trained.frame[:400]
        said = trained.model.predict_proba(now)[:, 1] > 0.5
        inside = (now["origin"] == "JFK").to_numpy()
        expected = said[~inside].mean() - said[inside].mean()
        assert metrics["DPPL"] == pytest.approx(expected, abs=1e-9)
        with server.engine.connect() as connection:
            assert needed_models(connection) == set()
