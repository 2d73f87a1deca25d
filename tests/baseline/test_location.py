"""Places: patterns in buckets mean what they mean in folders, and folders go with what is empty."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs as fs
import pytest

from driftline.baseline.location import Location, data_files, locate
from driftline.errors import NotFoundError
from tests.servers.s3 import S3Server, s3_root, s3_server

__all__ = ["s3_root", "s3_server"]

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
