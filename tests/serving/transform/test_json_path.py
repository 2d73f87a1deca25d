import pytest

from driftline.serving.transform.json_path import JsonPath, PathError

ROW = ["a", "b", "c", "d", "e", "f"]


# The exclusive ends are those of Jayway's JsonPath, which SageMaker's guide names.
@pytest.mark.parametrize(
    ("path", "chosen"),
    [
        ("$", ROW),
        ("$[0]", "a"),
        ("$[0,-1]", ["a", "f"]),
        ("$[1:4]", ["b", "c", "d"]),
        ("$[0,4:]", ["a", "e", "f"]),
        ("$.*", ROW),
    ],
)
def test_places_of_a_row_are_chosen(path, chosen):
    assert JsonPath(path)(ROW) == chosen


def test_names_of_an_object_are_chosen():
    record = {"id": 7, "features": [1, 2], "a b": {"c": 3}}

    assert JsonPath("$.features")(record) == [1, 2]
    # As json-path/JsonPath does, MultiPropTest.multi_prop_can_be_read_from_root.
    assert JsonPath("$['id','features']")(record) == {"id": 7, "features": [1, 2]}
    assert JsonPath("$['a b'].c")(record) == 3
    assert JsonPath("$.features[-1]")(record) == 2


@pytest.mark.parametrize(
    "path", ["", "a", "$..a", "$[?(@.a)]", "$['a', b]", "$[", "$[]", "$[1:2:3]"]
)
def test_a_path_that_is_none_of_the_subset_is_refused(path):
    with pytest.raises(PathError, match="expected such as"):
        JsonPath(path)


def test_a_place_outside_of_the_record_is_an_error():
    with pytest.raises(PathError, match=r"none at \[6\]"):
        JsonPath("$[6]")(ROW)
    with pytest.raises(PathError, match='no "b"'):
        JsonPath("$.b")({"a": 1})
