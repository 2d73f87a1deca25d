"""Ids that go from documents: from their texts, and from nothing that only reads like one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.erasure.clearing import ERASED, clear_documents

# Characters of which JSON is written, and such as stand next to words.
ODD = st.text(st.sampled_from('a0-1n]["{:,}\\ \n\u00e9\ud800'), min_size=1, max_size=4)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ODD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
)
FOLDER = "executions/quality/20260114T000000Z/x"


def cleared(folder: str, name: str, content: str, ids: list[str]) -> tuple[int, str]:
    path = Path(folder, FOLDER, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return clear_documents(folder, ids, None), path.read_text()


@given(DOCUMENTS, st.lists(ODD, min_size=1, max_size=3), st.booleans())
def test_a_document_is_the_same_but_for_its_texts(document, ids, is_ascii) -> None:
    content = json.dumps(document, indent=2)
    if not is_ascii and "\\ud800" not in content:
        content = json.dumps(document, indent=2, ensure_ascii=False)
    longest_first = sorted(set(ids), key=len, reverse=True)

    def without(found):
        if isinstance(found, list):
            return [without(one) for one in found]
        if isinstance(found, dict):
            return {key: without(one) for key, one in found.items()}
        if isinstance(found, str):
            inner = "|".join(map(re.escape, longest_first))
            return re.sub(rf"(?<![\w-])({inner})(?![\w-])", ERASED, found)
        return found

    with TemporaryDirectory() as folder:
        count, after = cleared(folder, "report.json", content, ids)

    assert json.loads(after) == without(document)
    assert count == (without(document) != document)
    assert (after == content) == (count == 0)


@pytest.mark.parametrize("id_", ["480", "row_count", "]", "n", "true"])
def test_what_only_reads_like_an_id_stays(tmp_path, id_) -> None:
    content = '{"row_count": 480, "ids": [], "is": true, "text": "a\\nb"}\n'

    assert cleared(str(tmp_path), "report.json", content, [id_]) == (0, content)


def test_each_line_of_json_and_plain_text_lose_their_ids(tmp_path) -> None:
    lines = '{"id": "e7", "n": 7}\n{"id": "e8"}\n'

    assert cleared(str(tmp_path), "a.jsonl", lines, ["e7", "7"]) == (
        1, '{"id": "(erased)", "n": 7}\n{"id": "e8"}\n',
    )  # fmt: skip
    assert (
        cleared(str(tmp_path / "2"), "a.csv", "e7,1\ne77,2\n", ["e7"])[1] == "(erased),1\ne77,2\n"
    )
    broken = '{"id": "\\q e7"}'
    assert cleared(str(tmp_path / "3"), "a.json", broken, ["e7"])[1] == '{"id": "\\q (erased)"}'
