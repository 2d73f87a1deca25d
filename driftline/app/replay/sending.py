"""Sends captured requests again, at a bounded rate, and keeps what is answered."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from urllib.parse import urlsplit

import httpx

from driftline.app.client.connection import refusal
from driftline.errors import InputError, UnavailableError
from driftline.formats.capture_line import CaptureLine

# Says of a request that it was captured before: whoever captures can tell it from production.
MARK = "X-Driftline-Replay"
_TIMEOUT_S = 60.0
# Requests that are prepared and held at once.
_CHUNK = 256
# When none of the first is answered, what was asked is wrong, or nobody is there.
_FIRST = 10


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests are sent."""

    url: str
    name: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: ssl.SSLContext | bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(
                f'replay to "{self.url}": expected an address such as '
                "http://127.0.0.1:9000/invocations"
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request was answered now."""

    status: int  # 0: no answer came.
    content: bytes = b""
    content_type: str | None = None
    latency_s: float = 0.0
    reason: str = ""  # Why there is none to compare.
    is_first: bool = False  # Its time may be that in which the model was started.


class Sender:
    """Sends requests to a target."""

    def __init__(
        self,
        target: Target,
        *,
        rate: float | None = None,  # Requests a second.
        parallel: int = 4,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate is not None and not rate > 0:
            raise InputError(f"replay: rate {rate:g}; expected more than 0 requests a second")
        self._target, self._rate, self._parallel = target, rate, parallel
        self._now, self._sleep = now, sleep
        limits = httpx.Limits(max_connections=parallel)
        self._http = httpx.Client(timeout=_TIMEOUT_S, limits=limits, verify=target.verify)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, lines: Iterable[CaptureLine]) -> Iterator[tuple[CaptureLine, Answer]]:
        """Send requests in their order; give each with its answer, in that order.

        The first is sent alone.
        """
        left, began, sent = iter(lines), self._now(), 0
        failures: list[httpx.Response | None] = []
        with ThreadPoolExecutor(self._parallel) as pool:
            while chunk := list(islice(left, _CHUNK if sent else _FIRST)):
                waiting = []
                for line in chunk:
                    if self._rate is not None:
                        self._sleep(max(0.0, began + sent / self._rate - self._now()))
                    waiting.append(pool.submit(self._ask, line))
                    if not sent:
                        wait(waiting)
                    sent += 1
                for place, (line, one) in enumerate(zip(chunk, waiting, strict=True)):
                    answer, response = one.result()
                    answer = replace(answer, is_first=place == 0 and sent <= _FIRST)
                    if answer.reason and sent <= _FIRST:
                        failures.append(response)
                    if len(failures) == sent <= _FIRST:
                        self._give_up(failures, answer)
                    yield line, answer

    def _give_up(self, failures: list[httpx.Response | None], answer: Answer) -> None:
        first = failures[0]
        if first is not None:
            raise refusal(first)
        raise UnavailableError(f"{self._target.name}: {answer.reason}")

    def _ask(self, line: CaptureLine) -> tuple[Answer, httpx.Response | None]:
        assert line.request is not None
        headers = {MARK: "1", **self._target.headers}
        if line.request.content_type is not None:
            headers["content-type"] = line.request.content_type
        if line.response is not None and line.response.content_type is not None:
            headers["accept"] = line.response.content_type
        began = self._now()
        try:
            response = self._http.post(
                self._target.url,
                params=dict(self._target.params),
                content=line.request.content,
                headers=headers,
            )
        except httpx.HTTPError as error:
            return Answer(0, reason=f"no answer ({type(error).__name__})"), None
        took = self._now() - began
        kind = response.headers.get("content-type")
        if not response.is_success:
            why = f"status {response.status_code}"
            return Answer(response.status_code, latency_s=took, reason=why), response
        return Answer(response.status_code, response.content, kind, took), response
