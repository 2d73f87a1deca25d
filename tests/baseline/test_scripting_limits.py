"""Bad, slow and hostile record scripts: one sentence with the line, within limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from driftline.baseline import scripting_process
from driftline.baseline.scripting import (
    postprocess,
    preprocessed,
    preprocessed_records,
    script_in,
)
from driftline.errors import InputError, UndecidedError
from tests.baseline.test_scripting import Write, capture, line, script, table

__all__ = ["script"]  # A fixture.


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        pytest.param(
            "def preprocess_handler(record):\n    return {}[record.event_version]\n",
            InputError, "preprocess.py, line 2: KeyError: '0' (record 2)", id="its exception",
        ),
        pytest.param("def preprocess_handler(:\n", InputError, "preprocess.py, line 1: SyntaxError",
                     id="no Python"),
        pytest.param("x = 1\n", InputError, "no function preprocess_handler; expected def",
                     id="no handler"),
        pytest.param("def preprocess_handler(record):\n    pass\n", InputError,
                     "gave None; expected a dict, a list of dicts, or [] (record 1)", id="None"),
        pytest.param("def preprocess_handler(record):\n    while True:\n        pass\n",
                     UndecidedError, "took longer than 1 s", id="hang"),
        pytest.param("import ctypes\ndef preprocess_handler(record):\n    ctypes.string_at(0)\n",
                     UndecidedError, "line 3: the script crashed (SIGSEGV)", id="crash"),
        pytest.param("import os\ndef preprocess_handler(record):\n    os._exit(7)\n",
                     UndecidedError, "ended its process (exit code 7)", id="gone"),
        pytest.param("def preprocess_handler(record):\n    return {'x': len(bytearray(1 << 40))}\n",
                     InputError, "line 2: MemoryError (record 1)", id="memory"),
        pytest.param("def preprocess_handler(record):\n    return {1: 2, '1': 3}\n", InputError,
                     "gave two keys that are one as text", id="keys that are one"),
        pytest.param("def preprocess_handler(record):\n    raise ValueError('a\\nb')\n", InputError,
                     "line 2: ValueError: a b (record 1)", id="an exception of several lines"),
        pytest.param("def preprocess_handler(record):\n    return []\n", InputError,
                     "gave no rows for any of 2 records", id="nothing"),
    ],
)  # fmt: skip
def test_a_bad_script_is_told_in_one_sentence_with_its_line(
    tmp_path: Path,
    script: Write,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    kind: type[Exception],
    told: str,
) -> None:
    monkeypatch.setattr(scripting_process, "RECORD_S", 1.0)
    good = "if record.event_metadata.event_id == 'event-0':\n        return {'a': 1}\n    "
    if "{}[" in text:
        text = text.replace("return {}[", good + "return {}[")
        told = told.replace("line 2", "line 4")
    data = capture(tmp_path / "a.jsonl", [line(0, "1"), line(1, "2")])

    with pytest.raises(kind) as found:
        preprocessed(data, script(text))

    assert told in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "answer",
    ["{no JSON", '{"columns": {"a": ["1"]}, "counts": [2]}'],
)
def test_a_script_cannot_answer_in_the_childs_place(script: Write, answer: str) -> None:
    place = script(
        "import os\n"
        "def preprocess_handler(record):\n"
        "    for file in range(3, 300):\n"
        "        try:\n"
        f"            os.write(file, {answer.encode()!r} + b'\\n')\n"
        "        except OSError:\n"
        "            pass\n"
        "    return {'a': 1}\n"
    )

    with pytest.raises(UndecidedError, match="wrote into the files that its answers go through"):
        preprocessed_records([line(0, "1")], place)


def test_a_hang_names_the_line_it_hangs_in(script: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripting_process, "RECORD_S", 0.5)
    place = script("def wait():\n    while True:\n        pass\n\n"
                   "def preprocess_handler(record):\n    wait()\n")  # fmt: skip

    with pytest.raises(UndecidedError, match=r"preprocess\.py, line [23]: the script took longer"):
        preprocessed_records([line(0, "1")], place)


@pytest.mark.parametrize("more", ["", "os.closerange(3, 300)"], ids=["silent", "closed"])
def test_a_hang_ends_also_where_the_script_stops_its_watchdog(
    script: Write, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    monkeypatch.setattr(scripting_process, "RECORD_S", 1.0)
    monkeypatch.setattr(scripting_process, "GRACE_S", 1.0)
    place = script(
        "import faulthandler, os, time\n"
        "def preprocess_handler(record):\n"
        "    faulthandler.cancel_dump_traceback_later()\n"
        f"    {more}\n"
        "    time.sleep(1000)\n"
    )

    with pytest.raises(UndecidedError, match=r"preprocess\.py: did not answer within 1 s"):
        preprocessed_records([line(0, "1")], place)


def test_a_discreet_error_does_not_quote_the_record(script: Write) -> None:
    place = script(
        "def preprocess_handler(record):\n    return float(record.endpoint_input.data)\n"
    )

    with pytest.raises(InputError) as found:
        preprocessed_records([line(0, "hunter2")], place, discreet=True)

    assert str(found.value).endswith("preprocess.py, line 2: ValueError (record 1)")


def test_the_script_sees_no_secret_of_this_process(
    script: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    place = script(
        "import os\ndef preprocess_handler(record):\n"
        "    return {'secret': 'AWS_SECRET_ACCESS_KEY' in os.environ,\n"
        "            'here': os.path.basename(os.getcwd()).startswith('driftline-script-')}\n"
    )

    (row,) = table(preprocessed_records([line(0, "1")], place)).to_pylist()

    assert row == {"secret": False, "here": True}


def test_what_a_script_prints_is_no_answer(
    script: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    place = script('def preprocess_handler(record):\n    print(\'{"columns": 1}\')\n'
                   "    return {'a': 1}\n")  # fmt: skip

    found = table(preprocessed_records([line(0, "1")], place))

    assert found.to_pydict() == {"a": [1]}
    assert capfd.readouterr().err == '{"columns": 1}\n'


def test_the_guides_postprocess_handler_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "post.py"
    place.write_text(
        'import os\ndef postprocess_handler():\n    print("Hello from post-proc script!")\n'
        '    print(os.environ["output_path"])\n'
    )

    postprocess(place, tmp_path)

    assert capfd.readouterr().err == f"Hello from post-proc script!\n{tmp_path.resolve()}\n"


def test_a_failing_postprocess_handler_is_told_with_its_line(tmp_path: Path) -> None:
    place = tmp_path / "post.py"
    place.write_text("def postprocess_handler():\n    open('/no/such')\n")

    with pytest.raises(InputError, match=r"post\.py, line 2: FileNotFoundError"):
        postprocess(place, tmp_path)


@pytest.mark.parametrize("name", ["../evil.py", "/etc/passwd", "gone.py", "notes.txt", ""])
def test_only_files_of_the_installations_folder_are_scripts(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "good.py").write_text("")
    (folder / "notes.txt").write_text("")
    (tmp_path / "evil.py").write_text("")

    with pytest.raises(InputError, match=r"not in the folder of scripts; expected one of good\.py"):
        script_in(str(folder), name)

    assert os.fspath(script_in(str(folder), "good.py")) == str(folder / "good.py")
