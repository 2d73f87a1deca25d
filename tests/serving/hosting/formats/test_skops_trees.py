"""Trees of skops files: compiled code follows their indices without another look."""

import io
import re
from functools import partial

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeRegressor

from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.skops import read
from tests.serving.hosting.formats.archives import pack_zip, parts_of
from tests.serving.hosting.formats.test_skops import CLASSES, ROWS


def edited(file, model, field, change):
    """Save a model with one array of nodes changed."""
    parts = parts_of(model)
    for name, part in parts.items():
        found = np.load(io.BytesIO(part)) if name.endswith(".npy") else np.empty(0)
        if field in (found.dtype.names or ()):
            change(found)
            stream = io.BytesIO()
            np.save(stream, found)
            parts[name] = stream.getvalue()
    return pack_zip(file, parts)


def put(field, number):
    def change(found):
        found[field][0] = number

    return change


@pytest.mark.parametrize(
    ("kind", "field", "number"),
    [
        (DecisionTreeRegressor, "left_child", 2**30),
        (DecisionTreeRegressor, "left_child", 0),
        (DecisionTreeRegressor, "right_child", -1),
        (DecisionTreeRegressor, "feature", 4),
        (partial(RandomForestClassifier, 2), "right_child", 2**30),
        (partial(GradientBoostingRegressor, n_estimators=2), "feature", -1),
        (partial(HistGradientBoostingRegressor, max_iter=2), "left", 2**31),
        (partial(HistGradientBoostingRegressor, max_iter=2), "right", 0),
        (partial(HistGradientBoostingRegressor, max_iter=2), "feature_idx", 4),
    ],
)
def test_a_tree_that_leads_out_of_itself_is_refused(kind, field, number, tmp_path):
    model = kind().fit(ROWS, CLASSES)
    read(edited(tmp_path / "m.skops", model, field, lambda found: None))
    edited(tmp_path / "m.skops", model, field, put(field, number))

    with pytest.raises(ModelError, match="a tree leads out of itself"):
        read(tmp_path / "m.skops")


def fewer_bins(mapper):
    mapper.is_categorical_ = mapper.is_categorical_[:2]
    return mapper


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        (partial(RandomForestClassifier, 2), "n_features_in_", lambda _: 1),
        (partial(IsolationForest, n_estimators=2, max_features=2), "estimators_features_",
         lambda found: [one[:1] for one in found]),
        (partial(GradientBoostingRegressor, n_estimators=2), "estimators_",
         lambda found: np.repeat(found, 300, axis=1)),
        (partial(HistGradientBoostingRegressor, max_iter=2), "_bin_mapper", fewer_bins),
    ],
)  # fmt: skip
def test_trees_and_bins_of_other_columns_or_stages_than_their_model_are_refused(
    kind, name, change, tmp_path
):
    model = kind().fit(ROWS, CLASSES)
    skops.io.dump(model, tmp_path / "m.skops")
    read(tmp_path / "m.skops")
    setattr(model, name, change(getattr(model, name)))
    skops.io.dump(model, tmp_path / "m.skops")

    with pytest.raises(ModelError):
        read(tmp_path / "m.skops")


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
def test_neighbours_are_found_in_the_rows_whatever_the_nodes_of_their_tree_say(algorithm, tmp_path):
    model = KNeighborsClassifier(algorithm=algorithm).fit(ROWS, CLASSES)
    file = edited(tmp_path / "m.skops", model, "idx_end", put("idx_end", 2**40))

    assert (read(file).predict(ROWS) == model.predict(ROWS)).all()


def longer(parts):
    """Write more words into the Mersenne Twister than it has, and stand between them."""
    for name in parts.keys() - {"schema.json"}:
        content = io.BytesIO()
        np.save(content, np.zeros(1000, np.uint32))
        parts[name] = content.getvalue()
    return at_word(700)(parts)


def at_word(number):
    return lambda parts: parts["schema.json"].replace(b'"601"', b'"%d"' % number)


def before_its_buffer(parts):
    return re.sub(rb'("buffer_pos": [^}]*"content": )"\d"', rb'\1"-1"', parts["schema.json"])


@pytest.mark.parametrize("change", [at_word(999999), longer, before_its_buffer])
def test_a_random_generator_is_of_the_size_that_numpy_copies(change, tmp_path):
    random = np.random.Generator(np.random.Philox(1))
    if change is not before_its_buffer:
        random = np.random.RandomState(1)
        random.set_state(("MT19937", random.get_state()[1], 601))
    parts = parts_of(RandomForestClassifier(2, random_state=random))
    read(pack_zip(tmp_path / "m.skops", parts))
    changed = change(parts)
    assert changed != parts["schema.json"]
    pack_zip(tmp_path / "m.skops", {**parts, "schema.json": changed})

    with pytest.raises(ModelError, match="beyond its numbers"):
        read(tmp_path / "m.skops")
