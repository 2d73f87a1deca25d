"""Models that are folders: which files count, what tells them apart, and what is refused."""

import os

import pytest

from driftline.errors import InputError
from driftline.serving.resources.artifacts import ModelStore, model_digest


@pytest.fixture
def model(tmp_path):
    return make(tmp_path / "source", {"MLmodel": "flavors", "data/a.bin": "x", "data/b.bin": "y"})


def make(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    "other",
    [
        {"MLmodel": "flavors", "data/a.bin": "y", "data/b.bin": "x"},
        {"MLmodel": "flavors", "data/a.bin": "xb.bin", "data/b.bin": "y"},
        {"MLmodel": "flavors", "a.bin": "x", "data/b.bin": "y"},
    ],
)
def test_another_tree_has_another_digest(other, model, tmp_path):
    assert model_digest(make(tmp_path / "other", other)) != model_digest(model)


def test_the_digest_is_of_names_and_bytes_alone(model, tmp_path):
    same = {"data/b.bin": "y", "data/a.bin": "x", "MLmodel": "flavors", ".hidden": "z"}
    os.utime(model / "MLmodel", (0, 0))

    assert model_digest(make(tmp_path / "same", same)) == model_digest(model)


@pytest.mark.parametrize("target", ["/etc/passwd", "data/a.bin", "data", "odd", None])
def test_links_and_pipes_in_a_folder_are_refused(target, model):
    if target is None:  # Nobody waits for its writer.
        os.mkfifo(model / "data/pipe")
    else:
        (model / "odd").symlink_to(target)

    with pytest.raises(InputError):
        model_digest(model)


def test_a_copy_is_made_once_and_removed_whole(model, tmp_path):
    store = ModelStore(str(tmp_path / "store"))
    made = store.path(store.put("m", model, model_digest(model)))
    (made / "MLmodel").unlink()

    file = store.put("m", model, model_digest(model))

    assert [path.name for path in made.parent.iterdir()] == ["source"]
    assert not (made / "MLmodel").exists()
    make(made.parents[1] / "v2", {"mine.skops": "of somebody's own"})
    assert file == f"models/m/{model_digest(model)}/source"
    ModelStore(str(tmp_path / "store")).remove_unneeded(set())
    store.remove_unneeded(set())
    assert made.exists()
    store.remove_unneeded(set())
    assert [path.name for path in made.parents[1].iterdir()] == ["v2"]
