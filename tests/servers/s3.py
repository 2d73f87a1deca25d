"""A server of S3's protocol, with a bucket for each test; it can be killed and started again.

moto's (s3_program.py), or that of versitygw where ``DRIFTLINE_TEST_VERSITYGW`` names its program.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from driftline.storage import use_options
from tests.servers.ports import free_port

__all__ = ["S3Server", "s3_root", "s3_server"]

KEY, SECRET = "driftline-tests", "no-secret-at-all"
REGION = "us-east-1"
ROOT = Path(__file__).parents[2]
START_S = 60.0
STOP_S = 10.0


class S3Server:
    """A server whose objects survive its kill.

    Parameters
    ----------
    folder
        Where its objects lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> dict[str, str]:
        """The options of [storage] for it."""
        return {
            "endpoint_url": self.url,
            "region": REGION,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "allow_http": "true",
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment that AWS's own tools would want."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ALLOW_HTTP": "true",
        }

    def filesystem(self) -> pafs.S3FileSystem:
        """Open it with pyarrow alone."""
        return pafs.S3FileSystem(
            access_key=KEY, secret_key=SECRET, region=REGION, scheme="http",
            endpoint_override=self.url.removeprefix("http://"), allow_bucket_creation=True,
        )  # fmt: skip

    def new_bucket(self) -> str:
        """Make a bucket that no other test uses; give its URI."""
        self.ensure_running()
        name = f"dl-{uuid.uuid4().hex[:12]}"
        self.filesystem().create_dir(name)
        return f"s3://{name}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environ(),
            )
        pause, end = threading.Event(), time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            pause.wait(0.1)

    def ensure_running(self) -> None:
        """Start it if a test left it dead."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """End it as a crash would: by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def freeze(self) -> None:
        """Have it take connections and answer nothing, until ``thaw``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Return the end of what it said."""
        return (self._folder / "server.log").read_text(errors="replace")[-4000:]

    def _command(self) -> list[str]:
        if program := os.environ.get("DRIFTLINE_TEST_VERSITYGW"):
            (self._folder / "buckets").mkdir(exist_ok=True)
            address = f"127.0.0.1:{self._port}"
            return [program, "--port", address, "posix", str(self._folder / "buckets")]
        found = subprocess.run(
            [ROOT / "scripts" / "s3"], check=True, stdout=subprocess.PIPE, text=True, timeout=600
        )
        program = Path(__file__).with_name("s3_program.py")
        return [found.stdout.strip(), str(program), str(self._port), str(self._folder)]

    def _environ(self) -> Mapping[str, str]:
        return os.environ | {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}

    def _answers(self) -> bool:
        with suppress(OSError):
            self.filesystem().get_file_info(pafs.FileSelector("", recursive=False))
            return True
        return False


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one server for all tests of this process."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def s3_root(s3_server: S3Server) -> Iterator[str]:
    """Return a folder in a bucket of its own, which this process can open."""
    use_options(s3_server.options)
    yield f"{s3_server.new_bucket()}/store"
    use_options({})
