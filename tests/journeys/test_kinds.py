"""Every kind of monitor by the command line alone, on Clarify's own data."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.servers.commands import driftline

ADULT = Path(__file__).parents[1] / "fixtures" / "bias" / "adult_scored.csv.gz"
ROLES = (
    "--label", "income", "--prediction", "predicted", "--probability", "score", "--positive", "1",
    "--problem", "binary",
)  # fmt: skip


@pytest.fixture(scope="module")
def adult(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reference.csv, and today.csv in which half of the women get no yes any more."""
    folder = tmp_path_factory.mktemp("adult")
    rows = pd.read_csv(ADULT)
    rows[:8_000].to_csv(folder / "reference.csv", index=False)
    today = rows[8_000:].copy()
    today.loc[(today["sex"] == "Female") & (today.index % 2 == 0), ["predicted", "score"]] = 0
    today.to_csv(folder / "today.csv", index=False)
    return folder


def test_bias_against_one_group_is_found_by_flags_and_by_clarifys_file(adult: Path) -> None:
    config = {
        "label": "income",
        "label_values_or_threshold": [1],
        "facet": [{"name_or_index": "sex", "value_or_threshold": ["Female"]}],
    }
    (adult / "analysis_config.json").write_text(json.dumps(config))
    answers = ("--prediction", "predicted", "--problem", "binary")
    flags = ("--label", "income", "--positive", "1", "--facet", "sex=Female", *answers)
    by_config = ("--config", "analysis_config.json", *answers)
    # Clarify's data has no header line: the names stand in its file.
    header, rows = (adult / "reference.csv").read_text().split("\n", 1)
    (adult / "bare.csv").write_text(rows)
    named = {**config, "headers": header.split(",")}
    (adult / "with_headers.json").write_text(json.dumps(named))
    by_headers = ("--config", "with_headers.json", *answers)
    for name, data, given in (
        ("flags", "reference.csv", flags),
        ("config", "reference.csv", by_config),
        ("bare", "bare.csv", by_headers),
    ):
        made = driftline("baseline", data, "--kind", "bias", *given, "-o", name, cwd=adult)
        assert made.returncode == 0, made.stderr

    documents = {(adult / one / "analysis.json").read_text() for one in ("flags", "config", "bare")}
    assert len(documents) == 1
    found = driftline("check", "today.csv", "--baseline", "flags", "-o", "out", cwd=adult)

    assert found.returncode == 1, found.stderr
    violations = json.loads((adult / "out" / "constraint_violations.json").read_text())
    assert violations["version"] == "1.0"
    assert {one["facet_value"] for one in violations["violations"]} == {"Female"}
    assert {"RD", "DI"} == {one["metric_name"] for one in violations["violations"]}
    assert "Female" in found.stdout


def test_attributions_that_are_ready_are_compared(tmp_path: Path) -> None:
    reference = pd.DataFrame({"age": [0.4, -0.5, 0.6] * 200, "income": [0.1, 0.1, -0.1] * 200})
    reference.to_csv(tmp_path / "reference.csv", index=False)
    reference.rename(columns={"age": "income", "income": "age"}).to_csv(
        tmp_path / "today.csv", index=False
    )
    made = driftline("baseline", "reference.csv", "--kind", "attribution", "-o", "b", cwd=tmp_path)
    assert made.returncode == 0, made.stderr

    same = driftline("check", "reference.csv", "--baseline", "b", cwd=tmp_path)
    other = driftline("check", "today.csv", "--baseline", "b", "--json", cwd=tmp_path)

    assert same.returncode == 0, same.stderr
    assert other.returncode == 1, other.stderr
    assert "income" in json.loads(other.stdout)["cause"]


def test_a_model_answers_for_the_class_that_its_reference_was_explained_for(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(300, 2)), columns=["age", "income"])
    answers = np.where(rows["age"] > 0, "approved", "denied")
    skops.io.dump(LogisticRegression().fit(rows, answers), tmp_path / "m.skops")
    rows.to_parquet(tmp_path / "rows.parquet")
    made = driftline(
        "baseline", "rows.parquet", "--kind", "attribution", "--model", "m.skops",
        "--positive", "approved", "-o", "b", cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    again = ("check", "rows.parquet", "--baseline", "b", "--model", "m.skops", "--json")

    found = driftline(*again, cwd=tmp_path)
    other = driftline(*again, "--positive", "denied", cwd=tmp_path)

    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["details"]["positive"] == "approved"
    assert json.loads(other.stdout)["details"]["positive"] == "denied"


@pytest.fixture(scope="module")
def all_kinds(adult: Path) -> Path:
    """The same folder with all.skops, and "all": a baseline of the reference for every kind."""
    features = ["age", "hours_per_week"]
    rows = pd.read_csv(adult / "reference.csv")
    skops.io.dump(LogisticRegression().fit(rows[features], rows["income"]), adult / "all.skops")
    given = ("--facet", "sex=Female", "--model", "all.skops")
    made = driftline("baseline", "reference.csv", *ROLES, *given, "-o", "all", cwd=adult)
    assert made.returncode == 0, made.stderr
    return adult


def test_one_command_judges_all_kinds_and_ends_with_the_worst_code(all_kinds: Path) -> None:
    command = ("check", "today.csv", "--baseline", "all", "--kind", "all", "--model", "all.skops")

    found = driftline(*command, "--format", "json,html,junit", "-o", "every", cwd=all_kinds)
    text = driftline(*command, cwd=all_kinds)

    assert (found.returncode, text.returncode) == (1, 1), found.stderr + text.stderr
    reports = json.loads(found.stdout)
    kinds = ["data-quality", "model-quality", "bias", "attribution", "outliers", "joint"]
    assert (list(reports["reports"]), reports["left_out"]) == (kinds, {})
    assert reports["reports"]["bias"]["violation_count"] == 2
    assert reports["reports"]["attribution"]["passed"]
    for kind in kinds:
        alone = json.loads((all_kinds / "every" / kind / "report.json").read_text())
        assert alone == reports["reports"][kind]
        assert f"{kind}\n" in text.stdout
    assert json.loads((all_kinds / "every" / "report.json").read_text()) == reports
    page = (all_kinds / "every" / "report.html").read_text()
    assert all(f"<summary>{kind}</summary>" in page for kind in kinds)
    suites = ElementTree.parse(all_kinds / "every" / "junit.xml").getroot()
    assert [suite.get("name") for suite in suites] == [f"driftline {kind}" for kind in kinds]
    assert " ".join(text.stdout.split()).startswith(reports["headline"])


def test_several_kinds_are_named_one_by_one(all_kinds: Path) -> None:
    kinds = ("--kind", "bias", "--kind", "attribution")
    check = ("check", "reference.csv", "--baseline", "all", "--model", "all.skops", "--json")

    found = driftline(*check, *kinds, cwd=all_kinds)

    assert found.returncode == 0, found.stderr
    assert list(json.loads(found.stdout)["reports"]) == ["bias", "attribution"]


def test_a_kind_that_decides_nothing_is_3_unless_another_is_violated(all_kinds: Path) -> None:
    rows = pd.read_csv(all_kinds / "reference.csv").drop(columns="sex")
    rows.to_csv(all_kinds / "no_sex.csv", index=False)
    bias = ("--kind", "bias", *ROLES, "--facet", "sex=Female", "-o", "bias_alone")
    made = driftline("baseline", "reference.csv", *bias, cwd=all_kinds)
    assert made.returncode == 0, made.stderr
    check = ("check", "no_sex.csv", "--baseline")

    every = driftline(*check, "all", "--kind", "all", cwd=all_kinds)
    undecided = driftline(*check, "bias_alone", "--kind", "all", cwd=all_kinds)
    named = driftline(*check, "all", "--kind", "bias", "--kind", "model-quality", cwd=all_kinds)

    assert (every.returncode, undecided.returncode, named.returncode) == (1, 3, 2)
    why = 'facet "sex": the data has no such column'
    assert f"bias not judged: {why}" in " ".join(every.stdout.split())
    assert f"bias: {why}" in " ".join(undecided.stderr.split())
    assert why in " ".join(named.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("baseline", "reference.csv", "--kind", "model-quality", "-o", "x"), "name a label"),
        (
            ("check", "today.csv", "--baseline", "flags", "--kind", "bias", "--kind", "x"),
            'kind "x"',
        ),
        (
            ("check", "today.csv", "--baseline", "flags", "--kind", "all", "--kind", "bias"),
            '"all" beside',
        ),
        (("baseline", "reference.csv", "--kind", "bias", "-o", "x"), "name a facet"),
        (("baseline", "reference.csv", "--facet", "sex=X", "-o", "x"), 'never holds "X"'),
        (("baseline", "reference.csv", "--config", "none.json", "-o", "x"), "cannot be read"),
        (
            ("baseline", "reference.csv", "--kind", "attribution", "--model", "m.skops", "-o", "x"),
            "m.skops",
        ),
    ],
)
def test_what_is_lacking_is_one_sentence_and_2(
    adult: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = driftline(*arguments, cwd=adult)

    assert found.returncode == 2, found.stdout
    assert sentence in found.stderr
    assert not (adult / "x").exists()
