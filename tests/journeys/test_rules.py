"""Rules on the command line: from a file, kept with the baseline, in all formats."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.journeys.conftest import driftline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two days of orders, the second with an id twice and a price below its cost."""
    made = tmp_path_factory.mktemp("rules")
    rng = np.random.default_rng(7)
    for name in ("train", "today"):
        cost = rng.gamma(2, 10, 2000).round(2)
        orders = {"id": np.arange(2000), "price": cost + 1, "cost": cost}
        if name == "today":
            orders["id"][[10, 1000]] = 5
            orders["price"][7] = orders["cost"][7] - 1
        pa.csv.write_csv(pa.table(orders), made / f"{name}.csv")
    (made / "rules.yaml").write_text(
        "- price >= cost\n- {check: unique, column: id, severity: page}\n"
    )
    (made / "more.json").write_text('[{"check": "row_count", "min": 1}]')
    (made / "wrong.yaml").write_text("- {check: uniqe, column: id}\n")
    rules = ("--rules", "rules.yaml")
    fitted = driftline("baseline", "train.csv", "--id", "id", "-o", "kept", *rules, cwd=made)
    assert fitted.returncode == 0, fitted.stderr
    return made


def test_broken_rules_are_exit_code_1_with_cause_and_rows(folder: Path) -> None:
    more = ("--rules", "more.json")
    found = driftline("check", "today.csv", "--baseline", "kept", *more, "--json", cwd=folder)
    report = json.loads(found.stdout)

    assert found.returncode == 1, found.stderr
    assert [
        (one["feature_name"], one["constraint_check_type"], one["severity"], one["row_count"])
        for one in report["violations"]
    ] == [
        ("price, cost", "expression_check", "ticket", 1),
        ("id", "unique_check", "page", 3),
    ]
    assert [row["row"] for row in report["violations"][1]["first_rows"]] == [5, 10, 1000]
    assert [one["passed"] for one in report["details"]["rules"]] == [False, False, True]


def test_the_terminal_and_the_test_results_tell_the_rule(folder: Path) -> None:
    text, junit = (
        driftline("check", "today.csv", "--baseline", "kept", "--format", one, cwd=folder).stdout
        for one in ("text", "junit")
    )

    assert "unique_check" in text
    assert "a value that occurs more than once" in " ".join(text.split())
    failures = ElementTree.fromstring(junit).findall(".//failure")
    assert {one.get("type") for one in failures} == {"unique_check", "expression_check"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--rules", "wrong.yaml"), 'did you mean "unique"?'),
        (("--rules", "rules.yaml", "--compat"), "SageMaker has no rules"),
    ],
)
def test_wrong_rules_are_exit_code_2_and_one_sentence(
    folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    found = driftline("check", "today.csv", "--baseline", "kept", *arguments, cwd=folder)

    assert found.returncode == 2
    assert sentence in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
