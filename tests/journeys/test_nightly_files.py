"""A nightly job that checks files: exit codes, rules, and reports that CI systems read."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from tests.kit.data import ORDERS, stream, texts
from tests.servers.commands import driftline

RULES = """
- km >= 0
- {check: unique, column: order_id, severity: page}
"""
SHOP = {"order_id": texts(), **ORDERS}


def spoil(orders: pd.DataFrame) -> pd.DataFrame:
    """Write one id three times, and one way below zero."""
    orders.loc[[10, 1_000], "order_id"] = orders.loc[5, "order_id"]
    orders.loc[7, "km"] = -1.0
    return orders


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a baseline and its rules, and the files of some nights."""
    made = tmp_path_factory.mktemp("nights")
    train = stream(SHOP, rows=3_000, seed=1)
    nights = {
        "train": train,
        "calm": stream(SHOP, rows=2_000, seed=2),
        "metres": stream(SHOP, rows=2_000, seed=3, change={"km": lambda km: km * 1_000}),
        "spoilt": stream(SHOP, rows=2_000, seed=4, change=spoil),
        "five": train[:5],
        "empty": train[:0],
    }
    for name, rows in nights.items():
        rows.to_csv(made / f"{name}.csv", index=False)
    (made / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (made / "rules.yaml").write_text(RULES)
    (made / "more.json").write_text('[{"check": "row_count", "min": 1}]')
    (made / "wrong.yaml").write_text("- {check: uniqe, column: order_id}\n")
    rules = ("--id", "order_id", "--rules", "rules.yaml")
    fitted = driftline("baseline", "train.csv", *rules, "-o", "kept", cwd=made)
    assert fitted.returncode == 0, fitted.stderr
    return made


@pytest.mark.parametrize(
    ("file", "code"),
    [("train", 0), ("calm", 0), ("metres", 1), ("spoilt", 1), ("empty", 3)],
)
def test_the_exit_code_says_what_became_of_a_night(folder: Path, file: str, code: int) -> None:
    found = driftline("check", f"{file}.csv", "--baseline", "kept", cwd=folder)

    assert found.returncode == code, found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_too_few_rows_without_a_rule_are_3_and_said_once(folder: Path) -> None:
    made = driftline("baseline", "train.csv", "--id", "order_id", "-o", "plain", cwd=folder)
    found = driftline("check", "five.csv", "--baseline", "plain", cwd=folder)

    assert (made.returncode, found.returncode, found.stdout) == (0, 3, "")
    assert found.stderr.count("could not be judged (too few rows") == 1


def test_each_format_says_the_same(folder: Path) -> None:
    found = {
        name: driftline("check", "metres.csv", "--baseline", "kept", "--format", name, cwd=folder)
        for name in ("text", "json", "html", "junit")
    }

    report = json.loads(found["json"].stdout)
    failed = {one["feature_name"] for one in report["violations"]}
    suite = ElementTree.fromstring(found["junit"].stdout)[0]
    assert {one.returncode for one in found.values()} == {1}
    assert report["cause"].startswith("km: ")
    assert "1,000 times" in report["cause"]
    assert {case.get("name") for case in suite if case.find("failure") is not None} == failed
    assert found["html"].stdout.startswith("<!doctype html>")
    assert all(name in found["text"].stdout for name in failed)


def test_broken_rules_name_the_rule_its_severity_and_the_rows(folder: Path) -> None:
    given = ("check", "spoilt.csv", "--baseline", "kept", "--rules", "more.json")
    found = driftline(*given, "--json", cwd=folder)
    junit = driftline(*given, "--format", "junit", cwd=folder)
    report = json.loads(found.stdout)

    broken = {
        one["constraint_check_type"]: (one["feature_name"], one["severity"], one["row_count"])
        for one in report["violations"]
    }
    assert broken == {
        "expression_check": ("km", "ticket", 1),
        "unique_check": ("order_id", "page", 3),
    }
    rows = {
        one["constraint_check_type"]: [row["row"] for row in one["first_rows"]]
        for one in report["violations"]
    }
    assert rows == {"expression_check": [7], "unique_check": [5, 10, 1000]}
    assert sorted(one["passed"] for one in report["details"]["rules"]) == [False, False, True]
    failures = ElementTree.fromstring(junit.stdout).findall(".//failure")
    assert {one.get("type") for one in failures} == set(broken)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("missing.csv", "--baseline", "kept"), "missing.csv"),
        (("calm.csv", "--baseline", "nowhere"), "nowhere"),
        (("ragged.csv", "--baseline", "kept"), "ragged.csv"),
        (("calm.csv", "--baseline", "kept", "--format", "pdf"), "pdf"),
        (("calm.csv", "--baseline", "kept", "--colour"), "--colour"),
        (("calm.csv", "--baseline", "kept", "--rules", "wrong.yaml"), "unique"),
        (("calm.csv", "--baseline", "kept", "--rules", "rules.yaml", "--compat"), "rules"),
    ],
)
def test_wrong_use_is_2_and_one_sentence(
    folder: Path, arguments: tuple[str, ...], word: str
) -> None:
    found = driftline("check", *arguments, "-o", "none", cwd=folder)

    assert found.returncode == 2
    assert word in found.stderr
    assert "Traceback" not in found.stderr
    assert not (folder / "none").exists()


def test_a_role_that_names_no_column_says_the_nearest(folder: Path) -> None:
    found = driftline("baseline", "train.csv", "--label", "cty", "-o", "none", cwd=folder)

    assert found.returncode == 2
    assert "city" in found.stderr
    assert not (folder / "none").exists()


def test_a_server_that_is_not_there_is_4(tmp_path: Path) -> None:
    found = driftline("get", "monitor", "--server", "http://127.0.0.1:9", cwd=tmp_path)

    assert found.returncode == 4
    assert "driftline up" in found.stderr


def test_results_never_overwrite_the_baseline_and_the_next_check_still_fails(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in (folder / "kept").iterdir()}

    found = driftline("check", "metres.csv", "--baseline", "kept", "-o", "kept", cwd=folder)

    assert found.returncode == 2
    assert "signature.json" in found.stderr
    assert {path.name: path.read_bytes() for path in (folder / "kept").iterdir()} == before
