"""A commit that a bucket has taken, and whose answer is an error: what was written stays."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from driftline.capture.tables.compaction import compact
from driftline.capture.tables.dataset import Dataset
from driftline.storage import use_options
from tests.capture.counts import counted
from tests.capture.tables.s3_tools import some_rows
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.s3


class Gateway(ThreadingHTTPServer):
    """Hands all on to a server; of the next entry of a log it says that it failed, when told to."""

    daemon_threads = True

    def __init__(self, behind: S3Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.port = int(behind.url.rpartition(":")[2])
        self.lies = 0

    def is_to_lie(self, path: str) -> bool:
        if not self.lies or "/_delta_log/" not in path or not path.endswith(".json"):
            return False
        self.lies -= 1
        return True

    def stored_rows(self, root: str) -> int:
        """Return the rows in the table, asked of the server itself.

        Reading a log's history holds the interpreter, so no thread of this process could answer.
        """
        use_options(self.behind.options)
        return counted(root, "flights").rows


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def _hand_on(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.pop("transfer-encoding", "") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            headers["content-length"] = str(len(body))
        else:
            body = self.rfile.read(int(headers.get("content-length") or 0))
        there = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        there.request(self.command, self.path, body, headers)
        answer = there.getresponse()
        content, status = answer.read(), answer.status
        if self.command == "PUT" and status == 200 and self.server.is_to_lie(self.path):
            content, status = b"", 503
        self.send_response(status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        there.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _hand_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Do nothing."""


@pytest.fixture
def gateway(s3_server: S3Server, s3_root: str) -> Iterator[Gateway]:
    """Stand between this process and the server."""
    made = Gateway(s3_server)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    use_options(s3_server.options | {"endpoint_url": f"http://127.0.0.1:{made.server_port}"})
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


def test_rows_of_a_commit_whose_answer_was_an_error_stay(gateway: Gateway, s3_root: str) -> None:
    dataset = Dataset(s3_root, "flights", writer="a")
    dataset.append(some_rows("a", 1), {"a": 5})
    gateway.lies = 1

    stored = dataset.append(some_rows("a", 6), {"a": 10})

    dataset.refresh()
    assert stored == 5
    assert gateway.lies == 0
    assert dataset.watermark("a") == 10
    assert gateway.stored_rows(s3_root) == 10


def test_files_of_a_compaction_whose_answer_was_an_error_stay(
    gateway: Gateway, s3_root: str
) -> None:
    dataset = Dataset(s3_root, "flights", writer="a")
    for number in range(3):
        dataset.append(some_rows("a", number * 5 + 1), {"a": number * 5 + 5})
    gateway.lies = 1

    compact(Dataset(s3_root, "flights", writer="upkeep"), "2100-01-01")

    dataset.refresh()
    assert gateway.lies == 0
    assert gateway.stored_rows(s3_root) == 15
