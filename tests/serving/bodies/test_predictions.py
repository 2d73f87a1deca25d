import csv
import io
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from driftline.serving.bodies.predictions import Answer, write_answer


def test_a_part_is_the_rows_between():
    part = Answer([1, 2, 3], [[0.1], [0.2], [0.3]]).part(1, 2)

    assert part == Answer([2], [[0.2]])


def test_lists_are_lists_in_json_and_their_text_in_csv_without_what_is_no_number():
    answer = Answer([[1.5, float("nan")], ["b", 'a"'], []])

    entries = json.loads(write_answer(answer, "json"))["predictions"]
    assert [one["prediction"] for one in entries] == [[1.5, None], ["b", 'a"'], []]
    cells = [cell for (cell,) in csv.reader(write_answer(answer, "csv").decode().splitlines())]
    assert list(map(json.loads, cells)) == [[1.5, None], ["b", 'a"'], []]


@given(
    st.floats() | st.integers() | st.text(max_size=3),
    st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3),
)
def test_the_line_of_one_row_is_as_the_csv_module_writes_it(prediction, chances):
    is_known = not isinstance(prediction, float) or math.isfinite(prediction)
    expected = io.StringIO(newline="")
    row = [prediction if is_known else "", *(chances or [])]
    csv.writer(expected, lineterminator="\n").writerow(row)

    answer = Answer([prediction], None if chances is None else [chances])
    found = write_answer(answer, "csv")

    assert found == expected.getvalue().encode("utf-8")
    # In JSON it is the text that the standard library writes, too.
    entry = {"prediction": prediction if is_known else None}
    if chances is not None:
        entry["probability"] = chances[0] if len(chances) == 1 else chances
    text = json.dumps({"predictions": [entry]}, ensure_ascii=False).encode("utf-8")
    assert write_answer(answer, "json") == text
