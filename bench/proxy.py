"""What ``driftline proxy`` adds to an answer: the same server asked directly and through it.

Slices of requests go to each in turn, over one connection each; given is the lowest median of the
slices, and the lowest slowest 1%.
"""

from __future__ import annotations

import http.client
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import tap

SLICES = 30
SLICE = 60
PORT = 18082


def ask(connection: http.client.HTTPConnection, count: int) -> list[float]:
    """Send requests one by one; give the microseconds that each took."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("POST", tap.PATHS[0], tap.BODY, {"Content-Type": "text/csv"})
        connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1e6)
    return took


def proxied(upstream: str, folder: str, stack: ExitStack) -> http.client.HTTPConnection:
    """Start the proxy as a user would; give a connection to it."""
    command = [
        sys.executable, "-m", "driftline", "proxy", "--upstream", upstream, "--endpoint", "echo",
        "--port", str(PORT),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        with suppress(OSError):
            ask(connection, 10)
            return connection
    raise SystemExit("the proxy does not answer")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = tap.Server("asgi", Path(folder, "A"))
        stack.callback(server.close)
        direct = http.client.HTTPConnection(*server.address)
        through = proxied("http://{}:{}".format(*server.address), folder, stack)
        sides = [[ask(one, SLICE) for one in (direct, through)] for _ in range(SLICES)]
    lines = []
    for name, at in (("median", 49), ("slowest 1%", 98)):
        a, b = (
            min(statistics.quantiles(side[which], n=100)[at] for side in sides) for which in (0, 1)
        )
        lines.append(f"| {name} | {a:.0f} | {b:.0f} | {b - a:+.0f} |")
    print("# What the proxy adds\n")
    print(
        f"`bench/proxy.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}. "
        f"Microseconds from request to whole answer, 1 KiB each, everything recorded; of {SLICES} "
        f"alternating slices the lowest. Client, proxy and server share the cores.\n"
    )
    print("| answer | direct | through the proxy | added |\n|---|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
