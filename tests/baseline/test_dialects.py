"""CSV as the world writes it: delimiters, encodings, decimal commas, quotes that do not close."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import InputError, NotFoundError
from driftline.formats import opening
from driftline.formats.csv.dialect import sniff
from driftline.formats.csv.quotes import QuoteWatch
from driftline.formats.dialect import Dialect
from driftline.formats.source import Files, open_source

Rows = dict[str, list[object]]


def rows(data: object) -> Rows:
    found = open_source(data)
    batches = list(found.batches())
    return {
        name: [value for batch in batches for value in batch.column(name).to_pylist()]
        for name in found.schema.names
    }


def write(folder: Path, name: str, text: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "streamed"])
def test_encodings_that_show_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, is_big: bool
) -> None:
    path = write(tmp_path, "a.csv", "Stadt,n\nKöln,1\nTromsø,2\n", encoding)
    if is_big:
        monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)

    assert rows(path) == {"Stadt": ["Köln", "Tromsø"], "n": [1, 2]}


@pytest.mark.parametrize(("encoding", "name"), [("latin-1", "latin-1"), ("cp1252", "windows-1252")])
def test_other_encodings_are_named(tmp_path: Path, encoding: str, name: str) -> None:
    path = write(tmp_path, "a.csv", "Stadt;n\nKöln;1\n", encoding)

    with pytest.raises(InputError, match=r"line 2 is not UTF-8; set encoding"):
        rows(path)
    assert rows(Files(path, encoding=name)) == {"Stadt": ["Köln"], "n": [1]}


def test_json_lines_of_another_encoding_are_named_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"a": 1}\n{"a": 2, "b": "Köln"}\n', "latin-1")

    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        rows(path)
    assert rows(Files(path, encoding="latin-1")) == {"a": [1, 2], "b": [None, "Köln"]}


def test_half_a_character_as_bytes_of_json_lines_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"a": "x"}\n{"a": "\xed\xa0\x80"}\n')

    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        rows(path)


def test_text_that_is_not_of_the_named_encoding_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"a\n\x81\n")

    with pytest.raises(InputError, match="the text is not cp1252"):
        rows(Files(path, encoding="cp1252"))


@pytest.mark.parametrize(
    ("text", "delimiter", "decimal"),
    [
        ("a,b\n1,2\n", ",", "."),
        ("a;b\n1;2\n", ";", "."),
        ("a\tb\n1\t2\n", "\t", "."),
        ("a|b\n1|2\n", "|", "."),
        ("a;b\n1,5;2,25\n", ";", ","),
        ("1,5;2,25\n3,5;4,75\n", ";", ","),
        ("a;b\n1,234;2.5\n", ";", "."),
        ("a;b\n1,234;2,345\n", ";", "."),
        ("name;note\nx;a, b, c\ny;d\n", ";", "."),
        ('"a;b;c",d\n"1;2;3",4\n', ",", "."),
        ("a,b\n1,2\n3,4,5\n", ",", "."),
        ("a\n1\n", ",", "."),
        ("sep=|\na,x|b\n1|2\n", "|", "."),
    ],
)
def test_delimiter_and_decimal_sign_are_found_by_the_rows(
    text: str, delimiter: str, decimal: str
) -> None:
    found = sniff(text)

    assert (found.delimiter, found.decimal) == (delimiter, decimal)


@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "streamed"])
def test_numbers_with_decimal_commas_are_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_big: bool
) -> None:
    text = "x;n;c\n1,5;1;a\n-0,25;2;b,c\n;3;\n"
    if is_big:
        monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)

    found = rows(write(tmp_path, "a.csv", text))

    assert found == {"x": [1.5, -0.25, None], "n": [1, 2, 3], "c": ["a", "b,c", ""]}


def test_what_the_user_says_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "2019:x,y\n2020:z,w\n")

    assert rows(Files(path, delimiter=":", header=False)) == {
        "_c0": [2019, 2020],
        "_c1": ["x,y", "z,w"],
    }
    assert rows(Files(path, delimiter=":", header=True)) == {"2019": [2020], "x,y": ["z,w"]}
    assert rows(Files(write(tmp_path, "b.csv", "1\t2\n3\t4\n"), delimiter="tab", header=True)) == {
        "1": [3],
        "2": [4],
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"delimiter": "::"}, "expected one character"),
        ({"delimiter": '"'}, "expected one character"),
        ({"encoding": "klingon"}, 'encoding "klingon" is unknown'),
        ({"encoding": "rot13"}, "is unknown"),
        ({"encoding": "idna"}, "is unknown"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dialect(**said)  # type: ignore[arg-type]


def test_a_column_without_a_name_is_called_by_its_position(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "a.csv", "x,,\n0,1,2\n")) == {"x": [0], "_c1": [1], "_c2": [2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,"x\n2,y\n3,z\n', "line 2: a quote opens there and never closes"),
        ('a,b\n1,"x"y\n', "line 2: text follows a closing quote"),
        ('a,b\n"1\n2",x\n"3,y\n', "line 4: a quote opens there and never closes"),
        ('a,b\n"1\n2",x\n3\n', "line 4 has 1 field, expected 2"),
        ('a,b\n1,x"y"z\n2,5" pipe\n', None),
    ],
)
@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "streamed"])
def test_quotes_that_swallow_rows_are_told_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str | None, is_big: bool
) -> None:
    path = write(tmp_path, "a.csv", text)
    if is_big:
        monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)

    if message is None:
        assert rows(path) == {"a": [1, 2], "b": ['x"y"z', '5" pipe']}
        return
    with pytest.raises(InputError, match=message):
        rows(path)


class Stream:
    """Bytes as a stream of Arrow gives them."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read_buffer(self, size: int | None = None) -> Stream:
        self._found = self._data.read(-1 if size is None else size)
        return self

    def to_pybytes(self) -> bytes:
        return self._found


@given(st.text(alphabet='a,"\n', max_size=14), st.integers(1, 20))
def test_quotes_are_judged_as_the_strict_reader_of_python_does(text: str, size: int) -> None:
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
        is_right = True
    except csv.Error:
        is_right = False

    watch = QuoteWatch(Stream(text.encode()), ",")
    while watch.read(size):
        pass

    assert (watch.problem is None) == is_right


def test_files_with_their_columns_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a,b\n1,x\n")
    write(tmp_path, "2.csv", "b,a\ny,2\n")

    assert rows(tmp_path) == {"a": [1, 2], "b": ["x", "y"]}


def test_files_that_lack_a_column_are_named(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a,b\n1,x\n")
    write(tmp_path, "2.csv", "a\n2\n")

    with pytest.raises(InputError, match=r'2\.csv: it lacks column "b"'):
        rows(tmp_path)


def test_numbers_of_one_file_keep_their_letters_beside_texts_of_another(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a\n007\n")
    write(tmp_path, "2.csv", "a\nx\n")

    assert rows(tmp_path) == {"a": ["007", "x"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + bytes(40), "a ZIP archive; expected data, unpack it first"),
        (b"\xfd7zXZ\x00" + bytes(40), "packed by xz"),
        (b"\x1f\x8b\x08\x00" + bytes(6) + b"\x01\x02", "cannot be read"),
    ],
)
def test_archives_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows(write(tmp_path, "a.csv", content))


@pytest.mark.parametrize("text", ["a,b", "a,b\n", '"a",b', "\n\na;b", "sep=;\na;b"])
def test_a_header_alone_is_a_table_without_rows(tmp_path: Path, text: str) -> None:
    assert rows(write(tmp_path, "a.csv", text)) == {"a": [], "b": []}


@pytest.mark.parametrize("is_big", [False, True], ids=["in memory", "streamed"])
@pytest.mark.parametrize("name", ["0.csv", "2.csv"], ids=["first", "last"])
def test_a_header_alone_beside_files_with_rows_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_big: bool
) -> None:
    if is_big:
        monkeypatch.setattr(opening, "IN_MEMORY_BYTES", 0)
    write(tmp_path, name, "a,b")
    write(tmp_path, "1.csv", "a,b\n1,x\n")

    assert rows(tmp_path) == {"a": [1], "b": ["x"]}


def test_a_quote_that_opens_in_a_header_alone_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: a quote opens there and never closes"):
        rows(write(tmp_path, "a.csv", 'a,"b'))


def test_text_after_a_quote_in_a_header_alone_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: text follows a closing quote"):
        rows(write(tmp_path, "a.csv", '"amount","count"x,"city"'))


@pytest.mark.parametrize("first", ["[Content_Types].xml", "docProps/app.xml", "mimetype"])
def test_a_workbook_is_told_from_other_archives(tmp_path: Path, first: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr(first, "<Types/>")

    with pytest.raises(InputError, match="a workbook such as Excel's; save its sheet as CSV"):
        rows(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<html>\n<p>No such object</p>\n</html>\n",
        "\n<html lang='de'>\n<p>1,5</p>\n",
        "<HTML>\n<p>1</p>\n",
    ],
)
def test_a_servers_page_is_no_table_of_one_column(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="a page of HTML"):
        rows(write(tmp_path, "a.csv", text))


def test_texts_in_angles_are_no_page(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "a.csv", "<htmlish>\nx\n")) == {"<htmlish>": ["x"]}


def test_files_need_a_path() -> None:
    with pytest.raises(InputError, match="without a path"):
        Files()
    with pytest.raises(NotFoundError):
        rows(Files("/nowhere.csv"))


def test_a_small_file_is_read_by_no_other_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of Arrow's that lets go of Python's bytes while Python ends aborts the process."""
    readers = set()
    read = QuoteWatch.read

    def noted(self: QuoteWatch, size: int = -1) -> bytes:
        readers.add(threading.get_ident())
        return read(self, size)

    monkeypatch.setattr(QuoteWatch, "read", noted)
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 1000)

    assert open_source(tmp_path / "a.csv").row_count == 1000
    assert readers == {threading.get_ident()}
