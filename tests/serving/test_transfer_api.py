"""SageMaker's capture files to a running server and back, by HTTP and by the commands."""

import gzip
import json
import shutil
import uuid

import pytest

from driftline.app.client.client import Client
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.tables.dataset import Dataset
from tests.capture.counts import counted
from tests.capture.sagemaker.sagemaker_tools import FIXTURES, SAMPLES, sample_lines
from tests.servers import commands

SIGNATURE = {
    "features": [{"name": f"x{n}", "column": f"feature_x{n}", "type": "double"} for n in range(7)],
    "outputs": [
        {"name": "probability", "column": "probability", "type": "double", "role": "probability"}
    ],
}


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    rules = Redactor([Rule("Guarded", "", "drop", side="request")])
    with start(folder, max_request_bytes=3_000_000, retention_days=36_500, redactor=rules) as found:
        yield found


@pytest.fixture
def moved(server, declare):
    """Declare an endpoint that SageMaker served until now."""
    name = f"moved-{uuid.uuid4().hex[:8]}"
    answer = server.apply(declare("Endpoint", name, signature=SIGNATURE))
    assert answer.status_code == 200, answer.text
    return name


def driftline(server, *arguments):
    """Run a command against the server; give exit code, what it printed and what it said."""
    found = commands.driftline(*arguments, "--server", server.url)
    return found.returncode, found.stdout, found.stderr


def stored(server, name):
    return counted(server.context.root, name)


@pytest.fixture
def bucket(tmp_path):
    """Lay the samples out as a user has them: by hour, packed, in a list, with a broken line."""
    folder = tmp_path / "captured"
    hour = folder / "churn" / "blue" / "2022" / "04" / "18" / "00"
    hour.mkdir(parents=True)
    shutil.copy(FIXTURES / "baseline/capture.csv.jsonl", hour / "20-48-871-0b7bfd33.jsonl")
    lines = sample_lines("capture/capture.jsonl")
    (folder / "capture.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (folder / "list.json").write_bytes(
        b"[" + b",".join(sample_lines("capture/captured-data.jsonl")) + b"]"
    )
    (folder / "odd.jsonl").write_bytes(lines[0] + b"\n{broken\n" + lines[1] + b"\n")
    return folder


def test_rules_of_redaction_hold_for_what_is_imported(server, declare, bucket):
    assert server.apply(declare("Endpoint", "guarded", signature=SIGNATURE)).status_code == 200

    code, _, said = driftline(server, "capture", "import", bucket, "--endpoint", "guarded")

    assert code == 0, said
    rows = Dataset(server.context.root, "guarded").open().to_table().to_pylist()
    assert len(rows) == 49
    assert not any(row["request_body"] for row in rows)
    assert all(row["response_body"] for row in rows)


def test_what_was_imported_is_exported_as_it_was(server, moved, tmp_path):
    for name in SAMPLES:
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name.replace("/", "-")).write_bytes(b"\n".join(sample_lines(name)))
    assert driftline(server, "capture", "import", tmp_path / "in", "--endpoint", moved)[0] == 0

    out = tmp_path / "out"
    code, shown, said = driftline(server, "capture", "export", moved, "-o", out)
    files = sorted(file for file in out.rglob("*") if file.is_file())
    again = driftline(server, "capture", "export", moved, "-o", out, "--json")

    assert code == 0, said
    sent = {line for name in SAMPLES for line in sample_lines(name)}
    written = [line for file in files for line in file.read_bytes().splitlines()]
    # The clock of this server stands before the samples' hour of 2026.
    assert shown.startswith(f"{len(written)} lines of {moved} before 2026-01-15T05:00:00+00:00")
    assert set(written) < sent
    assert len(written) == len(set(written)) == 9
    assert json.loads(again[1])["unchanged"] == len(files)
    assert sorted(file for file in out.rglob("*") if file.is_file()) == files


@pytest.mark.parametrize("layout", ["endpoint", "batch"])
def test_an_hour_that_was_erased_goes_from_what_was_exported(server, moved, tmp_path, layout):
    mark = f'"eventId":"{uuid.uuid4().hex}'.encode()
    lines = sample_lines("baseline/capture.csv.jsonl")
    gone = [line.replace(b'"eventId":"', mark) for line in lines]
    kept = [line.replace(b"2022-04-18T", b"2022-04-19T") for line in lines]
    export = ("capture", "export", moved, "-o", tmp_path, "--layout", layout, "--json")
    with Client(server.url) as client:
        client.import_lines(moved, b"\n".join(gone + kept), variant="AllTraffic")
        first = driftline(server, *export)
        (tmp_path / "notes.txt").write_text("mine")
        before = [file for file in tmp_path.rglob("*") if file.is_file()]
        client.erase(event_ids=[json.loads(line)["eventMetadata"]["eventId"] for line in gone])
    code, shown, said = driftline(server, *export)

    assert (first[0], code) == (0, 0), said
    left = [file for file in tmp_path.rglob("*") if file.is_file()]
    told = json.loads(shown)
    assert (told["written"], told["lines"]) == (0, len(kept))
    assert told["removed"] == len(before) - len(left) > 0
    assert not [file for file in left if "/18/" in str(file)]
    assert tmp_path / "notes.txt" in left


def test_what_retention_would_remove_is_left_out_and_needs_a_word(start, tmp_path):
    file = FIXTURES / "capture/captured-data.jsonl"
    with start(tmp_path / "short") as server:
        refused = driftline(server, "capture", "import", file, "--endpoint", "old")
        before = stored(server, "old").requests
        taken = driftline(server, "capture", "import", file, "--endpoint", "old", "--older")

        assert refused[0] == 2
        assert "1 and 1 more lines: older than [capture] retention_days = 90" in refused[2]
        assert before == 0
        assert taken[0] == 0
        assert stored(server, "old").requests == 2


def test_a_batch_goes_out_and_comes_in(server, declare, moved, tmp_path):
    lines = sample_lines("baseline/capture.csv.jsonl")
    with Client(server.url) as client:
        client.import_lines(moved, b"\n".join(lines), variant="AllTraffic")
    copy = f"copy-{uuid.uuid4().hex[:8]}"
    server.apply(declare("Endpoint", copy, signature=SIGNATURE))

    out = driftline(
        server, "capture", "export", moved, "-o", tmp_path / "batch", "--layout", "batch"
    )
    back = driftline(
        server, "capture", "import", tmp_path / "batch", "--layout", "batch", "--endpoint", copy,
        "--json",
    )  # fmt: skip
    lost = driftline(
        server, "capture", "import", tmp_path / "batch", "--layout", "batch", "--endpoint", copy,
        "--data", tmp_path / "nowhere",
    )  # fmt: skip

    assert out[0] == back[0] == 0, out[2] + back[2]
    assert (json.loads(back[1])["imported"], json.loads(back[1])["bad"]) == (3, 0)
    with Client(server.url) as client:
        hour = client.captured_hours(copy)["items"][0]["start"]
        again = list(client.captured_lines(copy, hour=hour, variant="AllTraffic"))
    ids = [json.loads(line)["eventMetadata"] for line in again]
    assert ids == [json.loads(line)["eventMetadata"] for line in lines]
    assert lost[0] == 2
    assert "--data" in lost[2]
