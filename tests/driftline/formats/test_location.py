"""Places: patterns in buckets mean what they mean in folders, and folders go with what is empty."""

from __future__ import annotations

import resource
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.formats.data_files import data_files
from driftline.formats.location import locate
from driftline.formats.source import open_source

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


def _names(pattern: str, root: str) -> list[str]:
    base = locate(root).path
    try:
        return sorted(one.path[len(base) + 1 :] for one in data_files(pattern))
    except NotFoundError:
        return []


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


def test_a_file_longer_than_is_wanted_is_not_read_whole(tmp_path: Path) -> None:
    place = tmp_path / "config.json"
    place.write_bytes(b"12345")

    assert locate(place).read(most=5) == b"12345"
    with pytest.raises(InputError, match="at most 4 bytes"):
        locate(place).read(most=4)
