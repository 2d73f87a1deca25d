"""The tap: an ASGI layer that records requests and responses as they pass.

It keeps references to body chunks and hands every chunk on at once. The frame is written before
the chunk that completes the response is passed on, so whatever was answered is in the spool. Our
own listener sends the answers of a turn of the loop at its end: there one ``writev`` before them
writes the frames of all. No network, no parsing, no await of its own. Its own faults never reach
the request. Standard library only.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from driftline.capture.tap.asgi import App, Message, Receive, Scope, Send
from driftline.capture.tap.exchange import begin
from driftline.capture.tap.place import CapturePlace, find_place
from driftline.capture.tap.recorder import Recorder, kept_headers
from driftline.capture.tap.target import CaptureTarget
from driftline.errors import InputError

Route = Callable[[Scope], CaptureTarget | None]


class Capture:
    """Record what an ASGI app answers (outermost layer; ``app.add_middleware(Capture, …)``).

    Parameters
    ----------
    app
        The application; it sees every call unchanged, with ``driftline.request_id`` in its scope.
    endpoint
        Name under which POST requests are recorded; or give ``route``.
    paths
        Only requests to these paths are recorded, such as ``("/predict", "/models/{name}")``; a
        name in braces stands for one part of a path. Left out: every POST, also to a log-in route.
        Of bodies in no format of rows, such as forms or XML, only the length is recorded.
    spool_dir
        Folder of the host's spool, shared by all processes that record or ship. Left out, it is
        found as ``driftline up`` finds it in the working folder: by DRIFTLINE_CAPTURE__SPOOL_DIR,
        driftline.toml, or ``.driftline/spool``.
    sampling_percentage
        Share of requests that is recorded. Those with an inference id, or else a trace, are chosen
        by it, so that retries and all parts of a chain agree.
    max_body_bytes
        Bytes kept of each body; the true length always is. This and all below save ``route`` and
        ``now_ns`` are those of the installation when left out.
    route
        Decides for each HTTP scope what it is recorded as; None = not at all. Wins over
        ``endpoint``, ``paths`` and ``sampling_percentage``.
    now_ns
        Wall clock, in nanoseconds.
    spool_max_bytes
        See ``SpoolWriter``.
    max_inflight_bytes
        Bytes kept of the bodies of all unfinished requests; above it metadata alone is recorded.
    headers
        Request headers that are recorded beside those with columns of their own. Such as carry
        credentials never are.
    place
        What the installation says of all these; usually left out, see ``spool_dir``.

    Attributes
    ----------
    counters
        ``requests`` seen, ``sampled`` chosen, ``stored`` written, ``dropped`` not written,
        ``faults`` of the tap itself. Each record that ended is in one of the last three.

    Raises
    ------
    InputError
        At once, never from a request: for a wrong name, share or path.
    """

    def __init__(
        self,
        app: App,
        *,
        endpoint: str | None = None,
        paths: Sequence[str] | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        sampling_percentage: float = 100.0,
        max_body_bytes: int | None = None,
        route: Route | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        spool_max_bytes: int | None = None,
        max_inflight_bytes: int | None = None,
        headers: Sequence[str] | None = None,
        place: CapturePlace | None = None,
    ) -> None:
        arguments = locals()
        place = place or find_place()
        given = {entry.name: arguments[entry.name] for entry in fields(CapturePlace)}
        if spool_dir is not None:
            given["spool_dir"] = Path(spool_dir).absolute()
        place = replace(place, **{name: one for name, one in given.items() if one is not None})
        # What a copy in another process is made by; what was found here holds there, too.
        self._again = partial(
            type(self), endpoint=endpoint, paths=paths, route=route, now_ns=now_ns, place=place
        )
        if route is None:
            if endpoint is None:
                raise InputError("capture: neither endpoint nor route; expected one of them")
            target = CaptureTarget(endpoint, sampling_percentage=sampling_percentage)
            route = posts_to(paths, target)
        self.app = app
        self.spool = place.open_spool(now_ns)
        self._recorder = Recorder(
            self.spool,
            max_body_bytes=place.max_body_bytes,
            max_inflight_bytes=place.max_inflight_bytes,
            headers=kept_headers(place.headers),
            now_ns=now_ns,
        )
        self._route = route

    @property
    def counters(self) -> dict[str, int]:
        """What this process has counted."""
        return self._recorder.counters

    def __reduce__(self) -> tuple[Callable[..., Capture], tuple[object, ...]]:
        """Describe a copy for another process, where it writes to a spool of its own."""
        return self._again, (self.app,)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, and record it if it should be."""
        if scope["type"] != "http":
            is_life = scope["type"] == "lifespan"
            await self.app(scope, receive, self._closing(send) if is_life else send)
            return
        exchange = None
        target = None
        try:
            target = self._route(scope)
            if target is not None:
                exchange, scope, send = begin(self._recorder, target, scope, receive, send)
        except Exception as error:  # noqa: BLE001 - capture must never fail a request.
            self._recorder.fault(error, "" if target is None else target.endpoint)
        if exchange is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, exchange.receive, send)
        except BaseException as error:
            exchange.fail(error)
            raise
        finally:
            if exchange.is_open or exchange.inflight_bytes:
                exchange.finish()
            if target is not None and target.is_app:
                self._recorder.note_path(target, scope["path"])

    def _closing(self, send: Send) -> Send:
        """End the spool when the app has shut down, so that its reader need not wait."""

        async def closing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                self.spool.close()
            await send(message)

        return closing


def posts_to(paths: Sequence[str] | None, target: CaptureTarget) -> Route:
    """Return a route that takes POST requests to these paths, or to all."""
    if paths is None:
        return lambda scope: target if scope["method"] == "POST" else None
    if isinstance(paths, str):
        raise InputError(f'capture: paths "{paths}"; expected a list such as ["{paths}"]')
    for path in paths:
        if not path.startswith("/"):
            raise InputError(f'capture: path "{path}"; expected one such as "/predict"')
    parts = [re.sub(r"\\{[^/{}]*\\}", "[^/]+", re.escape(path)) for path in paths]
    pattern = re.compile("|".join(parts) or r"(?!)")

    def route(scope: Scope) -> CaptureTarget | None:
        if scope["method"] != "POST":
            return None
        path = scope["path"]
        # Inside a mounted app the path has the place of the mount before it.
        inner = path.removeprefix(scope.get("root_path", ""))
        return target if pattern.fullmatch(path) or pattern.fullmatch(inner) else None

    return route
