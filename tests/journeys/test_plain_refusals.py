"""Commands refuse what cannot work in one plain sentence."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from tests.kit.data import ORDERS, stream
from tests.servers.commands import driftline

TAB = "kind: Channel\nname: ops\nspec:\n\ttype: webhook\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stream(ORDERS, rows=1_000, seed=1).to_csv(tmp_path / "orders.csv", index=False)
    done = driftline("baseline", "orders.csv", "-o", "base", "--segment", "city", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.parametrize(
    "words", [("baseline", "orders.csv"), ("check", "orders.csv", "--baseline", "base")]
)
def test_an_output_that_cannot_be_written_is_named_with_the_reason(
    folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "file").write_text("in the way")

    found = driftline(*words, "-o", "file/result", cwd=folder)

    assert found.returncode == 2
    assert "Not a directory" in found.stderr
    assert "rrno" not in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_misspelt_segment_is_answered_with_the_nearest_name(folder: Path) -> None:
    driftline("baseline", "orders.csv", "-o", "whole", cwd=folder)

    for baseline in ("base", "whole"):
        words = ("check", "orders.csv", "--baseline", baseline, "--segment", "ctiy")
        found = driftline(*words, cwd=folder)
        assert found.returncode == 2
        assert 'the nearest known one is "city"' in found.stderr


def test_junit_says_how_many_rows_a_column_needs(folder: Path) -> None:
    lines = (folder / "orders.csv").read_text().splitlines()
    (folder / "few.csv").write_text("\n".join(lines[:8]) + "\n")

    found = driftline("check", "few.csv", "--baseline", "base", "--format", "junit", cwd=folder)

    assert found.returncode == 3
    assert found.stdout.count('<skipped message="insufficient_data: at least ') >= 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Channel\nname: ops: all\nspec: {}\n", ("line 2, column 10", "in quotes")),
        ("kind: Channel\nname: ops\n  spec: {}\n", ("line 3, column 7", "indentation")),
        ("- kind: Channel\nname: ops\n", ("line 2, column 1", "indentation")),
        (TAB, ("line 4, column 1", "expected spaces")),
        ('kind: Channel\nname: "ops\nspec: {}\n', ("line 2, column 7", "not closed")),
        ("kind: Channel\nname: [ops\nspec: {}\n", ("line 2, column 7", "bracket")),
        ("kind: !Channel\nname: ops\n", ("line 1, column 7", "plain values")),
        ("kind: Channel\nname: ops\0\n", ("line 2, column 10", "special characters")),
        ('{"kind": "Channel",, "name": "ops"}', ("line 1, column 20", "expected a value")),
    ],
)
def test_a_resource_file_that_is_no_yaml_is_told_by_line_column_and_mend(
    tmp_path: Path, text: str, words: tuple[str, str]
) -> None:
    (tmp_path / "ops.yaml").write_text(text)

    found = driftline("apply", "-f", "ops.yaml", cwd=tmp_path)

    assert found.returncode == 2
    assert found.stderr.startswith("driftline: ops.yaml: ")
    assert all(word in found.stderr for word in words), found.stderr
    assert "while" not in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_first_line_of_a_report_is_short_and_the_last_tells_what_was_not_judged(
    tmp_path: Path,
) -> None:
    rng, rows = np.random.default_rng(1), 24 * 40
    hours = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=rows, freq="h")})
    for number in range(6):
        hours[f"steady{number}"] = rng.normal(size=rows)
        hours[f"wandering{number}"] = np.cumsum(rng.normal(size=rows))
    reference, week = hours[:-168], hours[-168:].assign(steady0=99.5)
    week.to_csv(tmp_path / "week.csv", index=False)
    baseline = dl.Baseline.fit(reference, timestamp="at")
    baseline.save(tmp_path / "base")

    wide = {**os.environ, "COLUMNS": "300"}
    found = driftline("check", "week.csv", "--baseline", "base", cwd=tmp_path, env=wide)

    lines = found.stdout.splitlines()
    assert found.returncode == 1
    assert lines[0].startswith("168 rows, ")
    assert "6 of 12 columns could not be judged" in lines[0]
    assert len(lines[0]) <= 120
    assert lines[3].split()[:2] == ["PAGE", "steady0"]
    assert "drift of wandering0, wandering1, wandering2 and 3 more" in lines[-1]
    assert str(dl.check(week, baseline)).startswith(lines[0])


class Stranger(ThreadingHTTPServer):
    """Another program, which answers every path with one status and body."""

    def __init__(self, status: int, media: str, body: bytes) -> None:
        self.answer = status, media, body
        super().__init__(("127.0.0.1", 0), _Answering)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Answering(BaseHTTPRequestHandler):
    def answer(self) -> None:
        assert isinstance(self.server, Stranger)
        status, media, body = self.server.answer
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(status)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Write nothing."""


PAGE = b"<html><body>Welcome</body></html>"


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("status", "media", "body"),
    [
        (404, "text/html", PAGE),
        (200, "text/html", PAGE),
        (404, "application/json", b'{"detail": "Not Found"}'),
        (302, "text/plain", b"moved"),
    ],
)
def test_a_server_of_another_program_is_told_as_none_of_ours(
    folder: Path, status: int, media: str, body: bytes
) -> None:
    (folder / "ops.yaml").write_text("kind: Channel\nname: ops\nspec: {type: log}\n")
    commands = [
        ("get", "Endpoint"),
        ("apply", "-f", "ops.yaml"),
        ("monitor", "run", "orders"),
        ("delete", "Channel", "ops"),
        ("invoke", "orders", "orders.csv"),
        ("alarm", "explain", "orders"),
        ("capture", "stats", "orders"),
    ]
    with Stranger(status, media, body) as stranger:
        server = f"http://127.0.0.1:{stranger.server_port}"
        for words in commands:
            found = driftline(*words, "--server", server, cwd=folder)

            assert found.returncode == 3, (words, found.stdout, found.stderr)
            assert f"{server} is no driftline server" in found.stderr
            assert "Traceback" not in found.stderr
            assert "<" not in found.stdout + found.stderr
