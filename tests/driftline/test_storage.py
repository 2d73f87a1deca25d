"""Options of buckets: names, refusals without secrets, and both libraries told the same."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow import fs

from driftline.app.commands.options import open_places
from driftline.errors import InputError, NotFoundError
from driftline.formats.parquet.files import delta_dataset
from driftline.storage import check_uri, delta_options, open_uri, storage_error, use_options

KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "very-secret-word"}
PLACE = {"endpoint_url": "https://minio.example:9000", "region": "eu-west-1"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch):
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    yield
    use_options({})


def test_both_libraries_are_told_the_same() -> None:
    use_options(PLACE | KEYS)

    found = delta_options("s3://bucket/folder")
    filesystem, path = open_uri("s3://bucket/folder/")

    assert found is not None
    assert found["aws_endpoint_url"] == "https://minio.example:9000"
    assert found["aws_region"] == "eu-west-1" == filesystem.region
    assert found["aws_access_key_id"] == "AKIAEXAMPLE"
    assert found["conditional_put"] == "etag"
    assert "allow_unsafe_rename" not in str(found)
    assert path == "bucket/folder"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"regionn": "x"}, '"regionn" is unknown; the nearest known one is "region"'),
        ({"access_key_id": "AKIAEXAMPLE"}, "expected access_key_id and secret_access_key together"),
        ({"secret_access_key": 17}, "expected text in quotes"),
        ({"allow_http": "perhaps"}, "expected true or false"),
        ({"endpoint_url": "minio:9000"}, "expected such as https://minio.example:9000"),
        ({"endpoint_url": "http://minio:9000"}, "records would travel unencrypted"),
        ({"endpoint_url": "https://a:very-secret-word@minio"}, "holds a user or password"),
    ],
)
def test_wrong_options_give_one_sentence_without_their_secrets(options, expected) -> None:
    with pytest.raises(InputError) as raised:
        use_options(options)

    assert expected in str(raised.value)
    assert "very-secret-word" not in str(raised.value)
    assert "AKIAEXAMPLE" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3:///folder", "names no bucket"),
        ("gopher://x", "expected a folder, or a URI that begins with s3://"),
        ("s3://key:very-secret-word@bucket/x", "not in the URI"),
        ("s3://bucket/x?access_key=very-secret-word", "not in the URI"),
    ],
)
def test_a_root_that_is_no_place_is_refused(uri: str, expected: str) -> None:
    with pytest.raises(InputError) as raised:
        check_uri(uri)

    assert expected in str(raised.value)
    assert "very-secret-word" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "is_bucket"),
    [("Bucket 'b' not found", True), ("Object at location x not found: NoSuchKey", False)],
)
def test_a_missing_object_is_no_missing_bucket(said: str, is_bucket: bool) -> None:
    assert ("no such bucket" in str(storage_error("s3://b/x", OSError(said)))) is is_bucket


def test_a_token_of_the_environment_is_not_sent_with_keys_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "belongs-to-others")
    use_options(PLACE | KEYS)
    with pytest.raises(InputError, match="AWS_SESSION_TOKEN"):
        delta_options("s3://bucket/folder")

    use_options(PLACE | KEYS | {"session_token": "own"})
    assert (delta_options("s3://bucket/folder") or {})["aws_session_token"] == "own"


@pytest.mark.parametrize("bucket", ["mybuckets", "my", "No Bucket", ".."])
def test_a_bucket_that_is_not_here_is_refused_without_a_look_at_aws(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mybucket").mkdir()
    monkeypatch.setattr(fs, "resolve_s3_region", lambda _: pytest.fail("asked AWS"))
    use_options({}, tmp_path)

    for url in ("", "https://127.0.0.1:1"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(NotFoundError, match=r"create it, or .* in \[storage\] options"):
            open_uri(f"s3://{bucket}/model.tar.gz")


def test_a_delta_table_in_an_own_bucket_is_read_where_it_lies(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "mybucket" / "rows", pa.table({"a": [1, 2]}))
    use_options({}, tmp_path)

    found = delta_dataset("s3://mybucket/rows")

    assert found is not None
    assert found.count_rows() == 2


@pytest.mark.parametrize("made", [".driftline/s3", "driftline.toml", ""])
def test_a_command_opens_the_buckets_of_the_installation_that_is_there(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    if made.endswith("s3"):
        (tmp_path / made).mkdir(parents=True)
    elif made:
        (tmp_path / made).touch()

    open_places("s3://mybucket/x")

    if made:
        with pytest.raises(NotFoundError):
            open_uri("s3://mybucket/x")
    else:
        assert open_uri("s3://mybucket/x")[0].region == "eu-west-1"
