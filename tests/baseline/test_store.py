import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import OUTLINE, Baseline
from driftline.baseline.versions import get, put, versions
from driftline.errors import InputError, NotFoundError
from driftline.formats.location import Location
from tests.servers.commands import talking

FIXTURES = Path(__file__).parents[1] / "fixtures" / "baseline"
START = datetime(2013, 1, 1, tzinfo=UTC)


def flights(rows=6000):
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "time": [START + timedelta(minutes=10 * index) for index in range(rows)],
            "carrier": rng.choice(["UA", "AA", "DL"], rows, p=[0.5, 0.3, 0.2]),
            "tail": [f"N{value}" for value in rng.zipf(1.8, rows)],
            "temp": rng.normal(50, 15, rows).round(2),
            "seats": rng.integers(50, 300, rows),
            "late": rng.random(rows) < 0.2,
            "score": rng.random(rows),
            "id": [f"f{index}" for index in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def fitted():
    return Baseline.fit(
        flights(), label="late", probability="score", id_column="id", timestamp="time"
    )


def test_what_is_saved_loads_as_the_same_baseline(fitted, tmp_path):
    fitted.save(tmp_path / "b")

    again = Baseline.load(tmp_path / "b")

    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "constraints.json",
        "counts.parquet",
        "model-quality",
        "profile.parquet",
        "sample.parquet",
        "signature.json",
        "statistics.json",
    ]
    assert again.version == fitted.version
    assert again.signature == fitted.signature
    assert again.cells == fitted.cells
    assert again.statistics.to_json() == fitted.statistics.to_json()
    assert again.blocks.hours.tolist() == fitted.blocks.hours.tolist()
    for name, counts in fitted.blocks.counts.items():
        assert again.blocks.counts[name].tolist() == counts.tolist()


def test_a_folder_keeps_nothing_of_the_baseline_that_lay_in_it(fitted, tmp_path):
    fitted.save(tmp_path)
    (tmp_path / "notes.txt").write_text("of the user")
    other = Baseline.fit(pd.DataFrame({"x": [1.0, 2.0, 3.0]}))

    other.save(tmp_path)

    assert Baseline.load(tmp_path).version == other.version
    assert Baseline.load(tmp_path).outcomes is None
    assert (tmp_path / "notes.txt").exists()


def test_files_of_somebody_else_are_not_overwritten(fitted, tmp_path):
    (tmp_path / "statistics.json").write_text('{"x": 1}')
    (tmp_path / "changes.json").write_text("{}")

    with pytest.raises(InputError, match=r"json is there.*expected another folder"):
        fitted.save(tmp_path)

    assert {file.name for file in tmp_path.iterdir()} == {"statistics.json", "changes.json"}


def test_a_baseline_that_was_cut_off_is_refused_and_may_be_made_again(
    fitted, tmp_path, monkeypatch
):
    Baseline.fit(pd.DataFrame({"x": [1.0, 2.0, 3.0]})).save(tmp_path)
    write, left = Location.write, [len(fitted._documents) - 1]

    def cut(place, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("cut off")
        write(place, data)

    monkeypatch.setattr(Location, "write", cut)
    with pytest.raises(OSError, match="cut off"):
        fitted.save(tmp_path)
    monkeypatch.setattr(Location, "write", write)

    with pytest.raises(InputError, match="saving this baseline was cut off"):
        Baseline.load(tmp_path)
    fitted.save(tmp_path)
    assert Baseline.load(tmp_path).version == fitted.version


def test_the_same_data_gives_the_same_version_and_other_data_another(fitted):
    arguments = {
        "label": "late", "probability": "score", "id_column": "id", "timestamp": "time",
    }  # fmt: skip

    assert Baseline.fit(flights(), **arguments).version == fitted.version
    assert Baseline.fit(flights(5999), **arguments).version != fitted.version


def test_the_reference_is_counted_exactly_on_its_own_cells(fitted):
    frame = pa.table({"temp": flights()["temp"]})
    cells = fitted.cells["temp"]

    counts = fitted.profile.columns["temp"].cell_counts

    assert counts.tolist() == cells.count(frame["temp"]).tolist()


def test_hour_counts_add_up_to_the_counts_of_the_reference(fitted):
    for name, counts in fitted.blocks.counts.items():
        assert (counts.sum(axis=0) == fitted.profile.columns[name].cell_counts).all()
    days = fitted.blocks.blocks(timedelta(days=1))["temp"]
    assert days.sum(axis=1).tolist() == [144] * 41 + [96]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "lat"}, 'did you mean "late"'),
        (
            {"label": "late", "positive": "perhaps"},
            'positive "perhaps": no column has this value; label "late" has false, true',
        ),
        (
            {"problem": "sorting"},
            'problem "sorting"; expected binary, multiclass, regression',
        ),
        ({"timestamp": "carrier"}, "expected such as 2013-01-15T06:00:00Z"),
    ],
)
def test_wrong_arguments_give_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        Baseline.fit(flights(10), **arguments)


@pytest.mark.parametrize("name", ["carrier", "seats"])
def test_an_id_whose_values_come_again_and_again_is_refused(name):
    with pytest.raises(InputError, match=f'id "{name}": .* different values in 6,000 rows; exp'):
        Baseline.fit(flights(), id=name)


def test_times_of_which_only_some_have_a_zone_are_refused():
    rows = flights(200)
    naive = rows["time"].dt.tz_localize(None)
    objects = naive.astype(object).where(rows.index < 150, rows["time"].astype(object))
    texts = [pa.table({"time": found.astype(str)}) for found in (rows["time"], naive)]

    for mixed in (rows.assign(time=objects), pa.concat_tables(texts)):
        with pytest.raises(InputError, match='"time": some times have a zone and some have none'):
            Baseline.fit(mixed, timestamp="time")


@pytest.fixture
def sagemaker(tmp_path):
    shutil.copy(FIXTURES / "quality.statistics.json", tmp_path / "statistics.json")
    shutil.copy(FIXTURES / "quality.constraints.good.json", tmp_path / "constraints.json")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("statistics.json", b"{"),
        ("statistics.json", b'{"features": [{"name": "_c0", "numerical_statistics": 3}]}'),
        ("constraints.json", b"[]"),
        ("signature.json", b"nonsense"),
        ("profile.parquet", b"nonsense"),
    ],
)
def test_a_broken_file_is_named(sagemaker, name, content):
    (sagemaker / name).write_bytes(content)

    with pytest.raises(InputError) as failed:
        Baseline.load(sagemaker)

    assert name.split(".")[0] in str(failed.value)
    assert "\n" not in str(failed.value)


FILES = (
    "constraints.json", "counts.parquet", "labelled.parquet", "model-quality/constraints.json",
    "model-quality/statistics.json", "profile.parquet", "sample.parquet", "statistics.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_folder_that_lost_a_file_is_refused(fitted, tmp_path, name):
    whole = replace(fitted, labelled=fitted.rows)
    version = put(str(tmp_path), "flights", whole, lambda: START)
    folder = tmp_path / "baselines" / "flights" / version
    names = {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}
    (folder / name).unlink()

    with pytest.raises(InputError, match=rf"{name} of this baseline is missing; take it from a b"):
        get(str(tmp_path), "flights")

    assert names - {"signature.json", "version.json"} == {*FILES}


def test_parts_are_read_where_others_are_lost(fitted, tmp_path):
    version = put(str(tmp_path), "flights", fitted, lambda: START)
    (tmp_path / "baselines" / "flights" / version / "profile.parquet").unlink()

    outline = get(str(tmp_path), "flights", parts=OUTLINE)

    assert outline.signature == fitted.signature


@pytest.mark.parametrize("name", ["profile", "counts", "sample"])
def test_a_folder_without_its_signature_is_refused(fitted, tmp_path, name):
    fitted.save(tmp_path)
    for other in {"profile", "counts", "sample"} - {name}:
        (tmp_path / f"{other}.parquet").unlink()
    (tmp_path / "signature.json").unlink()

    with pytest.raises(InputError, match=f"{name}.parquet without signature.json"):
        Baseline.load(tmp_path)


def test_a_signature_that_lists_no_files_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    (tmp_path / "signature.json").write_text(fitted.signature.to_json())

    with pytest.raises(InputError, match="it does not list the baseline's files; make"):
        Baseline.load(tmp_path)


def test_a_folder_without_constraints_is_no_baseline(tmp_path):
    with pytest.raises(NotFoundError, match=r"no constraints\.json"):
        Baseline.load(tmp_path)
    with pytest.raises(NotFoundError, match="no such folder"):
        Baseline.load(tmp_path / "nothing")


def test_versions_are_kept_in_order_and_each_once(fitted, tmp_path):
    other = Baseline.fit(pa.table({"x": [1.0]}))
    clock = iter([START, START + timedelta(days=1), START + timedelta(days=2)])

    first = put(str(tmp_path), "flights", fitted, lambda: next(clock))
    second = put(f"file://{tmp_path}", "flights", other, lambda: next(clock))
    again = put(str(tmp_path), "flights", fitted, lambda: next(clock))

    assert again == first
    assert versions(str(tmp_path), "flights") == [first, second]
    assert get(str(tmp_path), "flights").version == second
    assert get(str(tmp_path), "flights", first).signature == fitted.signature


def test_a_version_that_was_cut_off_is_not_there(fitted, tmp_path):
    version = put(str(tmp_path), "flights", fitted, lambda: START)
    (tmp_path / "baselines" / "flights" / version / "version.json").unlink()

    assert versions(str(tmp_path), "flights") == []
    assert put(str(tmp_path), "flights", fitted, lambda: START) == version
    assert versions(str(tmp_path), "flights") == [version]


def test_what_does_not_exist_is_named(fitted, tmp_path):
    with pytest.raises(NotFoundError, match='baseline "nope": there is none'):
        get(str(tmp_path), "nope")
    put(str(tmp_path), "flights", fitted, lambda: START)
    with pytest.raises(NotFoundError, match='no version "x"; known: '):
        get(str(tmp_path), "flights", "x")


@pytest.mark.parametrize("name", ["../up", "a/b", "", "x" * 64])
def test_a_name_cannot_lead_elsewhere(fitted, tmp_path, name):
    with pytest.raises(InputError, match="expected a name of letters"):
        put(str(tmp_path), name, fitted, lambda: START)


PUTTER = """
import sys
from datetime import UTC, datetime
import pyarrow as pa
from driftline.baseline.store import Baseline
from driftline.baseline.versions import put
for count in range(1, 10_000):
    found = Baseline.fit(pa.table({"x": [float(count)] * 50}))
    put(sys.argv[1], "x", found, lambda: datetime.now(UTC))
    print(found.version, flush=True)
"""


def test_a_killed_writer_leaves_only_whole_versions(tmp_path):
    told = set()
    for lines in (1, 4, 7):
        with talking(PUTTER, tmp_path) as (_, _, printed):  # Killed behind these lines.
            told |= {printed.readline().strip() for _ in range(lines)}

    kept = versions(str(tmp_path), "x")

    assert told <= set(kept)
    for version in kept:
        assert get(str(tmp_path), "x", version).version == version
