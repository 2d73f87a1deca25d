"""CSV as the world writes it: delimiters, encodings, decimal commas, quotes that do not close."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.errors import InputError
from driftline.formats import opening
from driftline.formats.csv.dialect import sniff
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
