"""What a declared resource may read: data, and neither the system's files nor our secrets."""

import os
from pathlib import Path

import pytest

from driftline.app.reach import reach as reach_of
from driftline.errors import InputError
from driftline.serving.resources.artifacts import data_fingerprint
from driftline.serving.resources.reach import Reach
from driftline.settings.settings import load
from driftline.storage import open_uri, use_options
from tests.servers.settings import settings_in


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("a,b\n1,2\n")
    return folder


@pytest.mark.parametrize(
    "where",
    ["/etc/shadow", "file:///etc/passwd", "/dev/zero", "/", "/*", "/**/*.csv", "/../", "file:///"],
)
def test_files_of_the_system_are_no_data(where):
    with pytest.raises(InputError, match="of the system"):
        data_fingerprint(where, Reach())


@pytest.mark.parametrize("where", ["local:///etc/passwd", "mock://a/b", "/tmp/x://../etc/passwd"])
def test_other_names_for_files_of_this_machine_are_no_data(where):
    for read in (open_uri, lambda uri: data_fingerprint(uri, Reach())):
        with pytest.raises(InputError):
            read(where)


def test_data_have_changed_by_their_bytes_and_wherever_they_lie(tmp_path, data):
    before = data_fingerprint(str(data), Reach())
    (data / "train.csv").touch()
    elsewhere = data.rename(tmp_path / "checkout")

    assert data_fingerprint(str(elsewhere), Reach()) == before
    (elsewhere / "train.csv").write_text("a,b\n1,3\n")
    assert data_fingerprint(str(elsewhere), Reach()) != before


def test_a_link_leads_where_its_target_may_be_read(data):
    (data / "more.csv").symlink_to("/etc/passwd")

    with pytest.raises(InputError, match="of the system"):
        data_fingerprint(str(data), Reach())


def test_hidden_files_are_no_data_but_in_the_installations_own_folder(tmp_path, data):
    hidden = tmp_path / ".driftline"
    data.rename(hidden)
    (hidden / ".env.csv").write_text("a\n1\n")
    own = Reach(own=(tmp_path, hidden))

    assert data_fingerprint(str(hidden / "train.csv"), own)
    for name, reach in (("train.csv", Reach()), (".env.csv", own)):
        with pytest.raises(InputError, match="hidden"):
            data_fingerprint(str(hidden / name), reach)


def test_secrets_are_out_of_reach_wherever_they_are(data):
    reach = Reach((str(data),), secrets=(data / "train.csv",))

    with pytest.raises(InputError, match="installation itself"):
        data_fingerprint(str(data), reach)


def test_with_data_folders_all_else_is_out_of_reach(tmp_path, data):
    (tmp_path / "other.csv").write_text("a\n1\n")
    reach = Reach((str(data), "s3://reference/flights"))

    assert data_fingerprint(str(data / "train.csv"), reach)
    reach.check_uri("s3://reference/flights/2013.parquet")
    for uri in ("s3://reference/other.csv", "s3://reference/flights/../other.csv"):
        with pytest.raises(InputError, match="none of the data folders"):
            reach.check_uri(uri)
    for path in (tmp_path / "other.csv", data / ".." / "other.csv"):
        with pytest.raises(InputError, match="none of the data folders"):
            data_fingerprint(str(path), reach)


def test_invocations_name_what_lies_in_a_folder_of_their_endpoint_at_the_top_of_a_bucket(tmp_path):
    (tmp_path / "shop").mkdir()
    use_options({}, tmp_path)
    reach = Reach(("s3://shop/in",))

    reach.check_object("s3://shop/flights/a/rows.csv", "flights")
    reach.check_object("s3://shop/in/flights/rows.csv", "flights")
    for key in (
        "other/flights/rows.csv",
        "flights",
        "rows.csv",
        "flights2/rows.csv",
        "in/rows.csv",
    ):
        with pytest.raises(InputError, match="top of its bucket"):
            reach.check_object(f"s3://shop/{key}", "flights")
    use_options({})


def test_a_pipe_is_no_data(data):
    pipe = data / "pipe"
    os.mkfifo(pipe)

    for where in (str(pipe), f"file://{pipe}"):
        with pytest.raises(InputError, match="a pipe with a name"):
            data_fingerprint(where, Reach())
    (data / "train.csv").unlink()
    with pytest.raises(InputError, match="holds no data file"):
        data_fingerprint(str(data), Reach())


def test_the_installations_keys_database_and_spool_are_secrets(tmp_path):
    text = "[storage]\nroot = 'store'\n[serving]\ndata_dirs = ['data']\n"
    made = reach_of(settings_in(tmp_path, text))

    assert made.folders == (str(tmp_path / "data"), str(tmp_path / "store" / "s3"))
    for name in (
        "driftline.toml",
        "store/driftline.db",
        "store/driftline.db-wal",
        "store/channels.key",
        "store/spool/x",
    ):
        with pytest.raises(InputError, match="installation itself"):
            made.check(Path(tmp_path, name))
    made.check(tmp_path / "data" / "train.parquet")


def test_files_that_hold_settings_or_secrets_are_no_data(tmp_path):
    password = tmp_path / "database_url"
    password.write_text("sqlite:////srv/driftline.db")
    file = tmp_path / "prod.toml"
    file.write_text(f"[database]\nurl = 'sqlite+pysqlite:///{tmp_path / 'x.db'}?timeout=20'\n")
    names = ("DRIFTLINE_DATABASE__URL_FILE", "DRIFTLINE_CHANNEL_PAGER_FILE")
    found = [(load(environment={name: str(password)}), password) for name in names]
    found += [(load(file, environment={}), tmp_path / name) for name in ("prod.toml", "x.db-wal")]

    for settings, secret in found:
        with pytest.raises(InputError, match="installation itself"):
            reach_of(settings).check(secret)
