"""constraint_violations.json as others write it: nothing of it is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driftline.errors import InputError, NotFoundError
from driftline.monitors.report.violations_document import ViolationsDocument

FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_the_document_of_a_real_job_reads_and_writes_unchanged() -> None:
    text = (FIXTURES / "monitors" / "aws.constraint_violations.json").read_text()

    found = ViolationsDocument.from_json(text)

    # The file ends in a newline, which the analyzer does not write.
    assert found.to_json() + "\n" == text
    assert [one["constraint_check_type"] for one in found.entries].count("data_type_check") == 5


def test_a_document_of_clarify_keeps_its_version_and_its_own_fields() -> None:
    text = (FIXTURES / "bias" / "aws-violations.json").read_text()

    found = ViolationsDocument.from_json(text)

    assert json.loads(found.to_json()) == json.loads(text)
    assert found["version"] == "1.0"


def test_checks_and_keys_of_own_containers_survive() -> None:
    document = {
        "by": {"image": "own", "share": 1e-5, "rows": 12},
        "violations": [{"feature_name": "x", "constraint_check_type": "mine", "why": [1, 2.0]}],
    }

    found = ViolationsDocument.from_json(json.dumps(document))

    assert json.loads(found.to_json()) == document
    assert '"share" : 1.0E-5' in found.to_json()
    assert dict(found) == document
    assert len(found) == 2


@pytest.mark.parametrize("name", ["constraint_violations.json", "constraints_violations.json"])
def test_a_result_folder_is_read_under_either_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"violations": []}')

    assert ViolationsDocument.load(tmp_path).entries == ()


def test_a_folder_without_violations_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no constraint_violations\.json in it"):
        ViolationsDocument.load(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"violations": {}}', '{"violations": [1]}', "[" * 100_000, "\xff"]
)
def test_what_is_no_such_document_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "constraint_violations.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(InputError, match=r"constraint_violations.json: violations: "):
        ViolationsDocument.load(tmp_path)
