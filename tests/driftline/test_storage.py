"""Options of buckets: names, refusals without secrets, and both libraries told the same."""

from __future__ import annotations

import pytest
from pyarrow import fs

from driftline.app.settings.settings import describe, load
from driftline.errors import InputError, UnavailableError
from driftline.storage import check_uri, delta_options, is_remote, open_uri, use_options

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
    ("said", "expected"),
    [
        (
            "When resolving region for bucket 'b': AWS Error NETWORK_CONNECTION during HeadBucket "
            "operation: curlCode: 6, Could not resolve hostname",
            "AWS cannot be reached; see the network, or set endpoint_url",
        ),
        ("Bucket 'b' not found", "there is no such bucket"),
        ("AWS Error UNKNOWN", 'its region is not known (AWS Error UNKNOWN); set "region"'),
    ],
)
def test_why_a_region_is_not_known_is_told_with_its_mend(
    monkeypatch: pytest.MonkeyPatch, said: str, expected: str
) -> None:
    def resolve(bucket: str) -> str:
        raise OSError(said)

    monkeypatch.setattr(fs, "resolve_s3_region", resolve)

    with pytest.raises(UnavailableError) as failed:
        open_uri("s3://driftline-test-nowhere/x.csv")

    assert str(failed.value).startswith(f"s3://driftline-test-nowhere: {expected}")


def test_options_may_be_called_as_polars_calls_them() -> None:
    use_options({f"AWS_{name.upper()}": value for name, value in (PLACE | KEYS).items()})

    found = delta_options("s3://bucket")

    assert found is not None
    assert found["aws_secret_access_key"] == "very-secret-word"


def test_a_bucket_in_the_hosts_name_is_asked_for_at_the_same_host_by_both() -> None:
    use_options(PLACE | KEYS | {"virtual_hosted_style_request": True})

    found = delta_options("s3://bucket/folder")

    assert found is not None
    assert found["aws_endpoint_url"] == "https://bucket.minio.example:9000"


def test_what_is_not_set_comes_from_awss_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://elsewhere.example")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")

    found = delta_options("s3://bucket")

    assert found is not None
    assert found["aws_endpoint_url"] == "https://elsewhere.example"
    assert found["aws_region"] == "eu-north-1"


def test_a_session_token_of_other_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
    use_options(PLACE | KEYS)

    with pytest.raises(InputError, match="AWS_SESSION_TOKEN is set") as raised:
        delta_options("s3://bucket")

    assert "of-somebody-else" not in str(raised.value)


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


@pytest.mark.parametrize("where", ["data", "/data", "file:///data", "file:data"])
def test_folders_of_this_machine_need_no_options(where: str) -> None:
    assert not is_remote(where)
    assert delta_options(where) is None


SETTINGS = """
[storage]
root = "s3://bucket/folder/"
[storage.options]
endpoint_url = "http://127.0.0.1:9000"
allow_http = true
access_key_id = "AKIAEXAMPLE"
"""


def test_secrets_come_by_the_environment_one_by_one_and_are_never_shown(tmp_path) -> None:
    (tmp_path / "driftline.toml").write_text(SETTINGS)
    secret = {"DRIFTLINE_STORAGE__OPTIONS__SECRET_ACCESS_KEY": "very-secret-word"}

    found = load(tmp_path / "driftline.toml", environment=secret)

    shown = {f"{row['section']}.{row['key']}": row["value"] for row in describe(found)}
    assert found.root == "s3://bucket/folder"
    assert found.storage.options["secret_access_key"] == "very-secret-word"
    assert found.storage.options["allow_http"] == "true"
    assert shown["storage.options"] == {
        "endpoint_url": "http://127.0.0.1:9000",
        "allow_http": "true",
        "access_key_id": "***",
        "secret_access_key": "***",
    }
    assert "very-secret-word" not in repr(found)
    assert "AKIAEXAMPLE" not in repr(found)


def test_beside_a_bucket_spool_and_database_lie_on_this_machine(tmp_path) -> None:
    (tmp_path / "driftline.toml").write_text('[storage]\nroot = "s3://bucket/folder"\n')
    file = tmp_path / "driftline.toml"

    usual = load(file, environment={})
    chosen = load(file, environment={"DRIFTLINE_STORAGE__LOCAL_DIR": "here"})

    assert usual.spool_dir == tmp_path / ".driftline" / "spool"
    assert usual.database_url == f"sqlite:///{tmp_path}/.driftline/driftline.db"
    assert chosen.spool_dir == tmp_path / "here" / "spool"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[storage]\nroot = "s3:///x"', "names no bucket"),
        ('[storage]\nlocal_dir = "s3://x"', "expected a folder"),
        ("[storage]\noptions = 3", "expected a table of names and texts"),
        ('[storage.options]\nbucket = "x"', "is unknown; expected one of endpoint_url, region"),
        ('[storage.options]\naccess_key_id = "x"', "together, or none"),
    ],
)
def test_wrong_settings_of_storage_give_one_sentence(tmp_path, text: str, expected: str) -> None:
    (tmp_path / "driftline.toml").write_text(text)

    with pytest.raises(InputError) as raised:
        load(tmp_path / "driftline.toml", environment={})

    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
