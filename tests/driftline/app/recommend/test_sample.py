"""What a model is asked for in a load test."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest

from driftline.app.recommend.sample import fit_sample, read_sample
from driftline.errors import InputError

ROWS = "b,a,when,late\n1.5,x,2026-01-15T06:00:00,0\n,y,2026-01-16T06:00:00,1\n"


def model(names: list[str] | None = None, count: int | None = None) -> dict[str, object]:
    return {"feature_names": names, "feature_count": count}


def test_rows_are_asked_in_the_order_of_the_model_and_missing_ones_are_null(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)

    found = fit_sample(read_sample(str(tmp_path / "rows.csv")), model(["a", "b"], 2))

    assert [kind for kind, _ in found.bodies] == ["application/json"] * 2
    bodies = [json.loads(body)["instances"] for _, body in found.bodies]
    assert bodies == [[["x", 1.5]], [["y", None]]]
    assert found.signature is not None
    assert [one["name"] for one in found.signature["features"]] == ["a", "b"]
    assert found.table.column_names == ["a", "b"]


@pytest.mark.parametrize(
    ("about", "exclude", "said"),
    [
        (model(["a", "c"]), (), 'no column "c", which the model takes'),
        (model(count=2), ("late",), "3 columns .* takes 2 by position; .* --exclude"),
        (model(["a", "c"]), ("late",), "no column"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path: Path, about, exclude, said) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)

    with pytest.raises(InputError, match=said):
        fit_sample(read_sample(str(tmp_path / "rows.csv")), about, exclude)


def test_captured_requests_are_asked_as_they_were_sent(tmp_path: Path) -> None:
    line = {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv", "mode": "INPUT", "data": "1.5,x\n",
                "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "text/csv", "mode": "OUTPUT", "data": "0.5",
                "encoding": "CSV",
            },
        },
        "eventMetadata": {"eventId": "1", "inferenceTime": "2026-01-15T06:00:00Z"},
        "eventVersion": "0",
    }  # fmt: skip
    (tmp_path / "captured.jsonl").write_text(f"{json.dumps(line)}\n" * 3)

    found = fit_sample(read_sample(str(tmp_path)), model(["a", "b"], 2))

    assert found.bodies == [("text/csv", b"1.5,x\n")] * 3
    assert found.signature is None


def test_files_of_an_archive_are_asked_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("1.5,x\n")
    with tarfile.open(tmp_path / "payload.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "one.csv", "./one.csv")
        archive.add(tmp_path / "one.csv", "./._one.csv")

    found = fit_sample(read_sample(str(tmp_path / "payload.tar.gz")), model(["a", "b"], 2))

    assert found.bodies == [("text/csv", b"1.5,x\n")]


def test_an_archive_that_is_none_or_empty_or_too_large_is_refused(tmp_path: Path) -> None:
    name, zeros = tarfile.TarInfo("name"), tarfile.TarInfo("zeros")
    name.type, name.size, zeros.size = tarfile.XHDTYPE, 48 << 20, 65 << 20
    refused = {
        b"none": "no whole tar.gz",
        gzip.compress(bytes(1024)): "no file; expected some",
        # They would be read whole into memory.
        gzip.compress(name.tobuf() + bytes(name.size), 1): "more than 32 MiB beside its files",
        gzip.compress(zeros.tobuf() + bytes(zeros.size), 1): "expected at most 64 MiB of files",
    }

    for number, (content, said) in enumerate(refused.items()):
        (tmp_path / f"{number}.tar.gz").write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_sample(str(tmp_path / f"{number}.tar.gz"))
