"""A server of S3's protocol that a kill cannot make forget: moto's, with one lock and a journal.

moto keeps objects in memory, and answers a conditional put in two steps. Here every change goes
through one lock, so that of two such puts exactly one wins, and into a file before it is answered,
from which the next start makes it again. It is run as a program (PORT FOLDER) by the Python that
``scripts/s3`` installs; whom it answers stands in the environment, as for versitygw.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import EnvironBuilder, run_wsgi_app

__all__ = ["main"]

_CHANGES = ("PUT", "POST", "DELETE")
_REFUSED = (
    "<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code>"
    "<Message>The AWS Access Key Id you provided does not exist in our records.</Message></Error>"
)

Headers = list[tuple[str, str]]
Answer = tuple[list[bytes], str, Headers]


class DurableS3:
    """The WSGI application: moto behind a lock, its changes in a file."""

    def __init__(self, journal: Path, key: str) -> None:
        self._credential = f"Credential={key}/"
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        for entry, body in _read(journal):
            self._ask(entry["method"], entry["path"], entry["query"], entry["headers"], body)
        self._journal = os.open(journal, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if self._credential not in environ.get("HTTP_AUTHORIZATION", ""):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [_REFUSED.encode()]
        if environ["REQUEST_METHOD"] not in _CHANGES:
            found, status, headers = _run(self._moto, environ)
        else:
            with self._lock:
                found, status, headers = self._change(environ)
        start_response(status, headers)
        return found

    def _change(self, environ: dict[str, Any]) -> Answer:
        # A body in chunks ends by itself, and moto gets it in one piece.
        is_chunked = environ.pop("HTTP_TRANSFER_ENCODING", "") == "chunked"
        length = -1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        method, path, query = (
            environ[name] for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")
        )
        asked = parse_qs(query, keep_blank_values=True)
        answer = _run(self._moto, environ)
        if not answer[1].startswith("2"):
            return answer
        headers = {
            name[5:].replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        } | {"Content-Type": environ.get("CONTENT_TYPE", "")}
        if method == "POST" and "uploadId" in asked and b"<Error>" not in b"".join(answer[0]):
            # The names of uploads are made anew at each start: what became of one is kept.
            found, _, _ = self._ask("GET", path, "", _plain(headers), b"")
            self._write("PUT", path, "", _plain(headers), b"".join(found))
        elif "uploadId" not in asked and "uploads" not in asked:
            headers.pop("If-None-Match", None)
            self._write(method, path, query, headers, body)
        return answer

    def _ask(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        # Quoted, for names of objects may have a ? or # in them; WSGI holds their bytes as Latin-1.
        made = EnvironBuilder(
            path=quote(path, encoding="latin-1"), query_string=query, method=method,
            headers=headers, data=body,
        )  # fmt: skip
        try:
            return _run(self._moto, made.get_environ())
        finally:
            made.close()

    def _write(
        self, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> None:
        entry = {"method": method, "path": path, "query": query, "headers": headers}
        head = json.dumps(entry | {"bytes": len(body)}).encode()
        os.write(self._journal, head + b"\n" + body + b"\n")


def _plain(headers: dict[str, str]) -> dict[str, str]:
    """Keep of the headers what says who asks and where."""
    return {name: headers[name] for name in ("Authorization", "Host") if name in headers}


def _run(app: Any, environ: dict[str, Any]) -> Answer:
    found, status, headers = run_wsgi_app(app, environ, buffered=True)
    return list(found), status, [(name, str(value)) for name, value in headers]


def _read(journal: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Return the changes that were written whole; a torn last one was never answered."""
    if not journal.exists():
        return
    size = 0
    with journal.open("rb") as file:
        for line in file:
            entry = json.loads(line) if line.endswith(b"\n") else None
            body = file.read(entry["bytes"] + 1) if entry else b""
            if entry is None or len(body) != entry["bytes"] + 1:
                break
            size = file.tell()
            yield entry, body[:-1]
    os.truncate(journal, size)


def main() -> None:
    """Serve until killed, or until standard input ends."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Who started it may be killed: then its end of the pipe closes.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    application = DurableS3(folder / "journal", os.environ["ROOT_ACCESS_KEY"])
    make_server(
        "127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler
    ).serve_forever()


if __name__ == "__main__":
    main()
