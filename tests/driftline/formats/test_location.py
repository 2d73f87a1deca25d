"""Places: patterns in buckets mean what they mean in folders, and folders go with what is empty."""

from __future__ import annotations

import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as fs
import pytest
from deltalake import write_deltalake

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.data_files import data_files
from driftline.formats.location import Location, locate
from driftline.formats.source import open_source
from tests.servers.s3 import S3Server

FILES = (
    "a.csv",
    "b.csv",
    "c.parquet",
    "day=1/a.csv",
    "day=2/a.csv",
    "day=2/deep/er/a.csv",
    "x1.csv",
)
PATTERNS = (
    "*.csv",
    "day=*/a.csv",
    "**/a.csv",
    "day=[12]/*",
    "?.csv",
    "x[!2].csv",
    "day=2/**",
    "*/er/*",
)


@pytest.mark.s3
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_the_same_in_a_bucket_as_in_a_folder(
    s3_root: str, tmp_path: Path, pattern: str
) -> None:
    for name in FILES:
        for root in (s3_root, str(tmp_path)):
            (locate(root) / name).write(b"a,b\n1,2\n")

    found = _names(f"{s3_root}/{pattern}", s3_root)

    assert found == _names(f"{tmp_path}/{pattern}", str(tmp_path))


@pytest.mark.s3
def test_names_of_objects_may_hold_what_means_something_in_urls(s3_root: str) -> None:
    (locate(s3_root) / "a#b?c.csv").write(b"a,b\n1,2\n")

    assert locate(f"{s3_root}/a#b?c.csv").read() == b"a,b\n1,2\n"


def _names(pattern: str, root: str) -> list[str]:
    base = locate(root).path
    try:
        return sorted(one.path[len(base) + 1 :] for one in data_files(pattern))
    except NotFoundError:
        return []


@pytest.mark.s3
def test_files_of_a_bucket_are_shown_as_they_are_typed(s3_root: str) -> None:
    (locate(s3_root) / "day=1/a.csv").write(b"a,b\n1,2\n")

    assert [one.shown for one in data_files(s3_root)] == [f"{s3_root}/day=1/a.csv"]
    assert [one.shown for one in data_files(f"{s3_root}/*/a.csv")] == [f"{s3_root}/day=1/a.csv"]


@pytest.mark.s3
def test_a_folder_of_a_bucket_is_removed_with_all_in_it(s3_root: str, s3_server: S3Server) -> None:
    for name in ("a/b/1", "a/b/2", "a/c/3"):
        (locate(s3_root) / name).write(b"x")

    (locate(s3_root) / "a/b").remove(above=2)
    (locate(s3_root) / "none").remove()

    assert locate(s3_root).folders() == ["a"]
    assert (locate(s3_root) / "a/c/3").read() == b"x"


def test_a_folder_is_removed_with_those_above_that_are_empty_then(tmp_path: Path) -> None:
    place = Location(fs.LocalFileSystem(), str(tmp_path / "a/b/c"), "c")
    (place / "file").write(b"x")
    (tmp_path / "beside").mkdir()

    place.remove(above=3)

    assert [one.name for one in tmp_path.iterdir()] == ["beside"]


@pytest.mark.parametrize(
    "name", ["b.CSV", "b.csv.bz2", "b.csv.zst", "b.csv.lz4", "b.Csv.Gz", "b.tab"]
)
def test_no_file_of_a_folder_is_passed_over_for_how_its_name_is_written(
    tmp_path: Path, name: str
) -> None:
    for one in ("a.csv", name, "README.md"):
        (tmp_path / one).write_text("x,y\n1,2\n")

    assert _names(str(tmp_path), str(tmp_path)) == ["a.csv", name]


@pytest.mark.parametrize("pattern", ["", "/**/*.csv"], ids=["folder", "glob"])
def test_what_a_link_leads_to_again_is_read_once(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "loop").symlink_to(tmp_path)

    assert _names(f"{tmp_path}{pattern}", str(tmp_path)) == ["a.csv"]


def test_a_delta_table_among_others_is_refused_for_its_files_that_no_longer_count(
    tmp_path: Path,
) -> None:
    for name in ("one", "two"):
        for rows in ([1, 2, 3], [4, 5]):
            write_deltalake(tmp_path / name, pa.table({"x": rows}), mode="overwrite")

    assert open_source(tmp_path / "one").row_count == 2
    for data in (tmp_path, [tmp_path / "one", tmp_path / "two"]):
        with pytest.raises(InputError, match="one: a Delta table among other data; name its"):
            open_source(data)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_that_finds_no_room_leaves_nothing_of_itself(tmp_path: Path, is_new: bool) -> None:
    file = locate(tmp_path / "report.json")
    if not is_new:
        file.write(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(UnavailableError, match="cannot be written now"):
            file.write(b"new" * 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    left = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert left == ({} if is_new else {"report.json": b"old"})
