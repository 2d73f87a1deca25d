"""Copies of models in a bucket: made once, fetched whole, removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from driftline.errors import UnavailableError
from driftline.serving.resources.artifacts import ModelStore, model_digest
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.s3


def _files(server: S3Server, root: str) -> list[str]:
    base = root.removeprefix("s3://")
    chosen = pafs.FileSelector(base, recursive=True, allow_not_found=True)
    return [one.path[len(base) + 1 :] for one in server.filesystem().get_file_info(chosen)
            if one.is_file]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "data").mkdir(parents=True)
    (made / "MLmodel").write_text("flavors")
    (made / "data" / "weights").write_bytes(b"a model" * 1000)
    return made


def test_a_folder_is_put_completed_and_fetched_whole(
    s3_root: str, s3_server: S3Server, folder: Path, tmp_path: Path
) -> None:
    digest = model_digest(folder)
    file = ModelStore(s3_root, tmp_path / "one").put("m", folder, digest)
    place = f"{s3_root.removeprefix('s3://')}/{file}"
    s3_server.filesystem().delete_file(f"{place}/data/weights")  # As of a server that was killed.
    store = ModelStore(s3_root, tmp_path / "two")
    with pytest.raises(UnavailableError, match="not the bytes that were put there"):
        store.fetch(file)
    assert list(store.path(file).parent.iterdir()) == []

    ModelStore(s3_root, tmp_path / "one").put("m", folder, digest)
    fetched = store.fetch(file)

    assert model_digest(fetched) == digest
    assert [path.name for path in fetched.parent.iterdir()] == ["source"]
    store.remove(file)
    assert _files(s3_server, s3_root) == []


def test_a_model_in_a_bucket_is_copied_and_served(
    s3_root: str, s3_server: S3Server, start: Any, trained: Any, declare: Any, tmp_path: Path
) -> None:
    where = f"{s3_root}/late.skops"
    with s3_server.filesystem().open_output_stream(where.removeprefix("s3://")) as stream:
        stream.write(trained.file.read_bytes())

    with start(tmp_path) as server:
        applied = server.apply(
            declare("Model", "remote", path=where), declare("Endpoint", "remote", model="remote")
        )
        answer = server.invoke("remote", trained.csv(slice(2)))
        missing = server.apply(declare("Model", "none", path=f"{s3_root}/none.skops"))

    assert (applied.status_code, answer.status_code) == (200, 200), applied.text
    assert f"{s3_root}/none.skops: no such file" in missing.text
