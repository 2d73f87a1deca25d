"""docs/your-own-app.md as it stands: its files, its commands, in its order, and what one then sees.

Nothing is replaced but ports (others may be taken) and the ten seconds until a commit; a channel
and an alarm on the monitor are added, and the first notification is awaited.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pandas as pd
import polars as pl
import pytest
import yaml

from tests.kit.data import TODAY, YESTERDAY
from tests.kit.receiver import Receiver
from tests.kit.resources import alarm_on
from tests.kit.waiting import wait
from tests.servers.commands import driftline
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

DOCUMENT = (Path(__file__).parents[2] / "docs" / "your-own-app.md").read_text()
# Commands that go on until they are stopped, and what they say once they are ready.
LASTING = {
    "uvicorn": "Application startup complete",
    "driftline up": "ready; Ctrl-C",
    "driftline proxy": "Ctrl-C ends it",
}
ASKED = 300
SPAN = '--from "$(date -u +%F)" --to "$(date -u -d tomorrow +%F)"'
QUALITY = f"driftline monitor run orders-data-quality {SPAN}"
MODEL = f"driftline monitor run orders-model-quality {SPAN}"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


@dataclass
class Walk:
    """A folder in which the document was followed; what each command gave: exit code and text."""

    folder: Path
    ports: dict[str, int]
    pager: Receiver
    said: dict[str, tuple[int, str]] = field(default_factory=dict)
    lasting: list[subprocess.Popen[str]] = field(default_factory=list)
    readers: list[threading.Thread] = field(default_factory=list)

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.ports['8080']}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "80",
            "DRIFTLINE_SERVER__PORT": str(self.ports["8080"]),
            "DRIFTLINE_DASHBOARD__PORT": str(self.ports["8081"]),
            "DRIFTLINE_METRICS__PORT": "0",
            "DRIFTLINE_CAPTURE__COMMIT_INTERVAL_S": "0.2",
            "DRIFTLINE_POLL_S": "0.5",
            "DRIFTLINE_NOTIFY__ALLOW_NETWORKS": "127.0.0.0/8",
        }

    def follow(self, line: str) -> None:
        """Run one line of the document, to its end or until it is ready."""
        command = line
        for port, free in self.ports.items():
            command = re.sub(rf"(:|--port ){port}\b", rf"\g<1>{free}", command)
        if line.startswith("driftline proxy"):
            command += f" --port {self.ports['8085']}"
        ready = next((text for start, text in LASTING.items() if line.startswith(start)), None)
        if ready is not None:
            self._keep(command, ready)
            return
        program, *words = shlex.split(command)
        if program == "driftline" and not set(command) & set("|&;<>()$`*?"):
            found = driftline(*words, cwd=self.folder, env=self.environment, timeout=300)
        else:
            found = subprocess.run(
                ["sh", "-c", command], cwd=self.folder, env=self.environment,
                capture_output=True, text=True, timeout=300,
            )  # fmt: skip
        self.said[line] = (found.returncode, found.stdout + found.stderr)

    def _keep(self, command: str, ready: str) -> None:
        process = subprocess.Popen(
            shlex.split(command), cwd=self.folder, env=self.environment,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lasting.append(process)
        assert process.stderr is not None
        lines = []
        for text in process.stderr:
            lines.append(text)
            if ready in text:
                break
        else:
            raise AssertionError(f"{command} ended before it was ready:\n{''.join(lines)}")
        # Somebody must read on, or it would hang when the pipe is full.
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        self.readers.append(reader)

    def stop(self) -> None:
        for process in reversed(self.lasting):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        for process, reader in zip(self.lasting, self.readers, strict=True):
            reader.join(60)
            assert process.stderr is not None
            process.stderr.close()

    def requests(self, endpoint: str) -> int:
        items = httpx.get(f"{self.server}/api/v1/capture").json()["items"]
        return sum(one["requests"] for one in items if one["endpoint"] == endpoint)

    def table(self, endpoint: str) -> pl.DataFrame:
        return pl.read_delta(str(self.folder / ".driftline" / "capture" / endpoint))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Follow the whole document; where it says "within ten seconds", wait for that."""
    ports = {port: free_port() for port in ("8000", "8080", "8081", "8085")}
    with Receiver() as pager:
        yield from follow(Walk(tmp_path_factory.mktemp("app"), ports, pager))


def follow(found: Walk) -> Iterator[Walk]:
    for code in blocks("python"):
        name = code.split("\n", 1)[0].removeprefix("# ")
        code = re.sub(r":8000\b", f":{found.ports['8000']}", code)
        (found.folder / name).write_text(code)
    expected = {"python ask.py": ("orders", ASKED), "curl": ("proxied", 1)}
    try:
        for line in "".join(blocks("sh")).splitlines():
            found.follow(line)
            if line.startswith("driftline apply"):
                paged = [found.pager.channel(), alarm_on("orders-data-quality", "pager")]
                (found.folder / "pager.yaml").write_text(yaml.safe_dump_all(paged))
                found.follow("driftline apply -f pager.yaml")
            for start, (endpoint, count) in expected.items():
                if line.startswith(start):
                    assert found.said[line][0] == 0, found.said[line][1]
                    wait(lambda e=endpoint, n=count: found.requests(e) >= n)
        yield found
    finally:
        found.stop()


def test_every_command_of_the_document_does_what_it_says(walk: Walk) -> None:
    failed = {line: said for line, (code, said) in walk.said.items() if code}

    # It says so of the one monitor; whether the other one finds anything is left open.
    assert QUALITY in failed
    assert set(failed) <= {QUALITY, MODEL}, failed


def test_init_says_what_the_document_shows(walk: Walk) -> None:
    said = next(said for line, (_, said) in walk.said.items() if line.startswith("driftline init"))

    assert said.startswith(blocks("text")[0])
    assert "the last tenth, against those before" in said


def test_what_the_app_answered_is_typed_and_known_by_its_id(walk: Walk) -> None:
    table = walk.table("orders").filter(pl.col("inference_id") != "B-1")

    assert table.height == table["event_id"].n_unique() == ASKED
    assert table["parse_error"].null_count() == ASKED
    assert (table["feature_km"].dtype, table["prediction"].dtype) == (pl.Float64, pl.Boolean)
    assert table["feature_km"].min() > 100  # type: ignore[operator] # a number
    assert table["prediction"].mean() == pytest.approx((table["probability"] > 0.5).mean())
    assert set(table["inference_id"]) == {f"A-{number}" for number in range(5_700, 6_000)}


def test_the_monitor_names_the_cause(walk: Walk) -> None:
    code, said = walk.said[QUALITY]

    assert code == 1
    assert f"{ASKED} rows" in said
    assert "; km: 99% of " in said
    assert "looks like 1,000 times the expected unit" in said


def test_the_truth_is_joined_by_the_id_that_the_requests_carried(walk: Walk) -> None:
    code, said = walk.said[MODEL]

    assert code in (0, 1), said
    assert f"{ASKED} rows" in said


def test_logger_and_proxy_record_beside_it_raw_until_declared(walk: Walk) -> None:
    _, said = walk.said["driftline capture list"]
    wait(lambda: walk.requests("nightly") == 2)

    for shown in ("orders +yes +yes +30[01] ", "proxied +no +no +1 "):
        assert re.search(shown, said), said
    nightly, proxied = walk.table("nightly"), walk.table("proxied")
    assert set(nightly["parse_error"]) == {"the endpoint has no signature"}
    assert "A-0" in set(nightly["inference_id"])
    assert proxied["request_body"].to_list() == [b'{"order_id": "B-1", "km": 3.5, "rain_mm": 0}']
    assert b'"score"' in proxied["response_body"][0]


def test_the_first_notification_names_the_cause(walk: Walk) -> None:
    """Of yesterday, since an alarm of a daily monitor waits until the day is over."""
    orders = pd.read_parquet(walk.folder / "orders.parquet").tail(200)
    spec = {"baseline": "orders", "trust_event_time": True}
    trusted = {"kind": "Endpoint", "name": "orders", "spec": spec}
    (walk.folder / "trusted.yaml").write_text(yaml.safe_dump(trusted))
    walk.follow("driftline apply -f trusted.yaml")
    noon = {"X-Driftline-Event-Time": (YESTERDAY + timedelta(hours=12)).isoformat()}
    url = f"http://127.0.0.1:{walk.ports['8000']}/predict"
    with httpx.Client(headers=noon) as client:
        for number, order in enumerate(orders.itertuples()):
            body = {"order_id": f"Y-{number}", "km": order.km * 1000, "rain_mm": order.rain_mm}
            client.post(url, json=body).raise_for_status()
    wait(lambda: walk.requests("orders") >= ASKED + len(orders))

    span = f'--from "{YESTERDAY:%Y-%m-%d}" --to "{TODAY:%Y-%m-%d}"'
    walk.follow(f"driftline monitor run orders-data-quality {span}")
    message = wait(lambda: next(iter(walk.pager.messages), None))

    assert (message.alarm, message.state) == ("orders-data-quality: violations", "ALARM")
    assert message.cause.startswith("km: ")
