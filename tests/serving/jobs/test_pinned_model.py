import json

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
    trained.frame[:40].to_parquet(rows, index=False)
    asked = {"predictor": {"model_name": "Late"}, "methods": {"shap": {"num_samples": 10}}}
    config.write_text(json.dumps({"label": "late", "label_values_or_threshold": [1], **asked}))
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
        assert "kernel_shap" in (output / "analysis.json").read_text()
        with server.engine.connect() as connection:
            assert needed_models(connection) == set()
