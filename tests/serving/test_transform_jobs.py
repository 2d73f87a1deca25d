"""Transform jobs of a server: created, followed and stopped by the interface, outliving kills."""

from contextlib import contextmanager

import pytest

from driftline.app.client.client import Client
from driftline.errors import InputError
from driftline.serving.resources.reach import Reach
from tests.servers.commands import ForkedJob
from tests.serving.conftest import resource
from tests.serving.guarded import FILE_SECRET, bearer, guarded


@contextmanager
def scoring(folder, started, **more):
    """Run a server that keeps the processes of its jobs."""
    reach, begun = Reach(outputs=(str(folder / "root" / "outputs"),)), []

    def begin(kind, job, owner):
        begun.append(ForkedJob(folder / "driftline.toml", kind, job, owner))
        return begun[-1]

    with started(folder, reach=reach, start_job=begin, **more) as found:
        url = found.engine.url.render_as_string(hide_password=False)
        (folder / "driftline.toml").write_text(
            f'[database]\nurl = "{url}"\n[storage]\nroot = "{found.root}"\n'
            "[serving]\ntrust_pickle = true\n"
        )
        found.begun = begun
        yield found


@pytest.fixture(scope="module")
def server(start, slow_model, tmp_path_factory):
    with scoring(tmp_path_factory.mktemp("jobs"), start, trust_pickle=True) as found:
        found.must_apply(resource("Model", "slow", path=str(slow_model), trust_pickle=True))
        yield found


def spec(server, name, data, **more):
    """A job of records that take so long as they say, one a request."""
    return {
        "transform_job_name": name,
        "transform_input": {
            "data_source": {"s3_data_source": {"s3_uri": str(data)}}, "split_type": "Line",
        },
        "transform_output": {
            "s3_output_path": str(server.root / "outputs" / name), "assemble_with": "Line",
        },
        **(more or {"model_name": "slow", "batch_strategy": "SingleRecord"}),
    }  # fmt: skip


def ended(client, name, until):
    def look():
        job = client.transform_job(name)
        return job if job["transform_job_status"] not in ("InProgress", "Stopping") else None

    return until(look)


def test_outputs_do_not_leave_their_folder_by_a_link(server, client, tmp_path, until):
    folder = server.root / "outputs" / "linked"
    folder.mkdir(parents=True)
    (tmp_path / "rows.csv").write_text("0\n")
    (folder / "rows.csv.out").symlink_to(tmp_path / "escaped")

    client.create_transform_job(spec(server, "linked", tmp_path / "rows.csv"))

    job = ended(client, "linked", until)
    assert job["transform_job_status"] == "Failed"
    assert "not in a folder for outputs" in job["failure_reason"]
    assert not (tmp_path / "escaped").exists()


def test_a_killed_process_leaves_every_file_and_record_once(server, client, tmp_path, until):
    """Another process scores the file anew that was under way, and no file that came later."""
    data = tmp_path / "rows"
    data.mkdir()
    texts = {f"part-{at}": f"0.0{at}\n" * 60 for at in range(1, 5)}
    for name, text in texts.items():
        (data / name).write_text(text)
    folder = server.root / "outputs" / "killed"
    client.create_transform_job(spec(server, "killed", data))
    until(lambda: (folder / "part-2.out").exists() and list(folder.glob(".*.part")))
    (data / "part-0").write_text("0.5\n")

    server.begun[-1].kill()

    job = ended(client, "killed", until)
    assert job["transform_job_status"] == "Completed", job
    assert job["progress"] == {"files": 4, "files_done": 4, "records": 240}
    assert {one.name for one in folder.iterdir()} == {f"{name}.out" for name in texts}
    assert all(len((folder / f"{name}.out").read_text().splitlines()) == 60 for name in texts)


def test_a_job_is_stopped_over_a_file(server, client, tmp_path, until):
    (tmp_path / "slow.csv").write_text("0.1\n" * 3000)
    folder = server.root / "outputs" / "stopped"
    client.create_transform_job(spec(server, "stopped", tmp_path / "slow.csv"))
    until(lambda: list(folder.glob(".*.part")))

    client.stop_transform_job("stopped")

    assert ended(client, "stopped", until)["transform_job_status"] == "Stopped"
    assert list(folder.iterdir()) == []


def test_whoever_may_not_see_rows_sees_no_record_in_a_reason(trained, tmp_path, until):
    (tmp_path / "bad.csv").write_text("UA,EWR,secret,1\n")
    with scoring(tmp_path, guarded) as server:
        server.client.headers.update(bearer(FILE_SECRET))
        assert server.apply(*trained.flights()).status_code == 200
        with Client(server.url, token=FILE_SECRET) as admin:
            admin.create_transform_job(
                spec(server, "bad", tmp_path / "bad.csv", endpoint_name="flights")
            )
            job = ended(admin, "bad", until)
            token = admin.create_token("eve", ["viewer"])["token"]
        with Client(server.url, token=token) as viewer:
            seen = viewer.transform_job("bad")
            with pytest.raises(InputError, match="takes the role operator"):
                viewer.create_transform_job(spec(server, "more", tmp_path / "bad.csv"))

    assert "record 1 (UA,EWR,secret,1)" in job["failure_reason"]
    assert "secret" not in seen["failure_reason"]
