"""A client of a running server: everything that /api/v1 and the invocations route can do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx

from driftline.app.client.alarms import AlarmCalls
from driftline.app.client.connection import PAGE_MAX, in_path, tags_of, without_none
from driftline.app.client.credentials import settings_here
from driftline.errors import InputError, UnavailableError
from driftline.loopback import DEFAULT_SERVER

if TYPE_CHECKING:
    from driftline.app.settings.settings import Settings

# Kinds of resources, as written in files, and their collections in the API.
KINDS = {
    "Model": "models",
    "Endpoint": "endpoints",
    "Baseline": "baselines",
    "Monitor": "monitors",
    "Alarm": "alarms",
    "CompositeAlarm": "composite-alarms",
    "Silence": "silences",
    "Channel": "channels",
}

_LABELS_PER_REQUEST = 50_000


class Client(AlarmCalls):
    """Speaks to one server.

    Parameters
    ----------
    server
        Its address, such as ``http://127.0.0.1:8080``; or its host and port alone.
    token
        The token to show, where the server asks for one. By default ``[auth] token`` of the
        settings in the working folder, or DRIFTLINE_AUTH__TOKEN; for the server of these settings
        also this machine's own token.
    settings
        What returns other settings in which the token is looked for.
    timeout_s
        The longest time that one request may take.

    Raises
    ------
    UnavailableError
        From every call, when no server answers there or it fails.
    InputError
        From every call, with the server's sentence, when what was asked is wrong.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        token: str | None = None,
        settings: Callable[[], Settings] = settings_here,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(server, token=token, settings=settings, timeout_s=timeout_s)

    def installation(self) -> dict[str, str]:
        """Return the id of the server's installation, and its storage root."""
        return self._get("installation")

    def whoami(self) -> dict[str, Any]:
        """Return whom the server takes this client for: subject, roles, endpoints (None: all)."""
        return self._get("whoami")

    def create_token(
        self,
        name: str,
        roles: Sequence[str],
        *,
        endpoints: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> dict[str, Any]:
        """Return a new token, with its secret as ``token``, which nobody can show again.

        Parameters
        ----------
        name
            A name that no token had before.
        roles
            Some of viewer, analyst, operator, admin, invoke and ingest.
        endpoints
            The only endpoints that it is for; None: all.
        expires_at
            When it ends, aware; None: when it is revoked.
        """
        asked = {"name": name, "roles": list(roles), "endpoints": endpoints or None}
        return self._post("tokens", body={**asked, **without_none({"expires_at": expires_at})})

    def tokens(self) -> list[dict[str, Any]]:
        """List all tokens, revoked ones too, without their secrets."""
        return self._items("tokens")

    def revoke_token(self, name: str) -> None:
        """End a token for good."""
        self._call("DELETE", f"/api/v1/tokens/{in_path(name)}")

    def end_sessions(self, subject: str) -> None:
        """End all sessions of a person or token in the dashboard."""
        self._call("DELETE", f"/api/v1/sessions/{in_path(subject)}")

    def audit(
        self,
        *,
        subject: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = 100,
    ) -> list[dict[str, Any]]:
        """List who did what, the newest first: of one subject, to one target, in [since, until)."""
        return self._items(
            "audit", limit=limit, subject=subject, target=target, since=since, until=until
        )

    def apply(
        self, resources: Iterable[Mapping[str, Any]], *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Declare resources, all or nothing; gives the plan with one change for each resource."""
        return self._post("apply", body={"resources": list(resources), "dry_run": dry_run})

    def executions(
        self,
        monitor: str,
        *,
        statuses: Sequence[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = 100,
    ) -> Sequence[dict[str, Any]]:
        """List the executions of a monitor, newest window first.

        Parameters
        ----------
        monitor
            Its name; the history of a deleted one is there, too.
        statuses
            Only these, such as "Failed".
        start, end
            Only of windows that begin in [start, end), aware.
        limit
            So many at most; None: all.
        """
        return self._items(
            "monitors", monitor, "executions", limit=limit, status=list(statuses) or None,
            **{"from": start, "to": end},
        )  # fmt: skip

    def cancel_monitor(
        self, name: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Cancel a window of a monitor; by default what is being judged now, else what waits."""
        body = without_none({"from": start, "to": end})
        done: list[dict[str, Any]] = self._post("monitors", name, "cancel", body=body)["items"]
        return done

    def progress(self, monitor: str) -> dict[str, Any]:
        """Return the windows that are being judged (``items``), and the one that waits."""
        return self._get("monitors", monitor, "progress")

    def execution(self, execution: str) -> dict[str, Any]:
        """Return one execution, what it read, and what boto3 says of one."""
        return self._get("executions", execution)

    def execution_log(self, execution: str) -> list[dict[str, str]]:
        """Return the log of an execution: time and text of each line."""
        return self._items("executions", execution, "log")

    def repeat_execution(self, execution: str) -> dict[str, Any]:
        """Evaluate an execution's window again, and compare with its documents."""
        return self._post("executions", execution, "repeat")

    def report(self, execution: str) -> dict[str, Any]:
        """Return the report of an execution: violations, features, segments."""
        return self._get("executions", execution, "report")

    def first_rows(self, execution: str, violation: int = 0, *, limit: int = 50) -> dict[str, Any]:
        """Return the first rows behind a violation: ``columns``, and ``rows`` as objects."""
        return self._get("executions", execution, "rows", violation=violation, limit=limit)

    def violation_rows(
        self, execution: str, violation: int | None = None, *, form: str = "csv"
    ) -> Iterator[bytes]:
        """Return all rows behind a violation, by its place in the report, as a file in pieces.

        Parameters
        ----------
        violation
            None: the rows behind any that alarms.
        form
            "csv" or "parquet".
        """
        which = "" if violation is None else f"/{violation}"
        path = f"/api/v1/executions/{in_path(execution)}/violations{which}/rows"
        return self._stream(path, {"format": form}, again="ask again")

    def list(
        self,
        kind: str,
        *,
        prefix: str = "",
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Sequence[dict[str, Any]]:
        """List the resources of a kind, such as ``Monitor``, by name.

        Parameters
        ----------
        kind
            As in resource files.
        prefix, owner, tags
            Only names that begin so; of an owner; with all of these tags.
        limit
            So many at most; None: all.
        """
        return self._items(
            collection(kind), limit=limit, prefix=prefix or None, owner=owner, tag=tags_of(tags)
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return one resource."""
        return self._get(collection(kind), name)

    def delete(self, kind: str, name: str) -> None:
        """Delete one resource; refused while another needs it."""
        self._call("DELETE", f"/api/v1/{collection(kind)}/{in_path(name)}")

    def invoke(
        self,
        endpoint: str,
        body: bytes,
        *,
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask an endpoint for predictions; gives the whole HTTP response."""
        return self._call(
            "POST",
            f"/endpoints/{in_path(endpoint)}/invocations",
            content=body,
            headers={**(headers or {}), "content-type": content_type},
        )

    def run_monitor(
        self, name: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> dict[str, Any]:
        """Run a monitor on one window now; by default on its last whole one."""
        return self._post("monitors", name, "run", body=without_none({"from": start, "to": end}))

    def backfill_monitor(
        self, name: str, *, start: datetime, end: datetime, again: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Run the windows of a past span that were not run, and return what each request ran.

        Each has the executions (``items``) and how many windows are ``left``. To stop between two
        and to begin anew costs nothing.

        Parameters
        ----------
        start, end
            The span, aware; windows of the schedule that lie within it and before its position.
        again
            Whether to run also those that were run before.
        """
        asked: dict[str, Any] = {"from": start.isoformat(), "to": end.isoformat(), "again": again}
        while asked["from"] is not None:
            answer = self._post("monitors", name, "backfill", body=asked)
            yield answer
            asked["from"] = answer["next"]

    def backtest_monitor(
        self,
        name: str,
        *,
        start: datetime,
        end: datetime,
        window: str | None = None,
        tolerance: float | None = None,
        against: Sequence[str] = (),
        estimate: bool = True,
    ) -> dict[str, Any]:
        """Return what a monitor would have done over a captured period; nothing is recorded.

        Parameters
        ----------
        name
            The monitor.
        start, end
            The period, aware; windows that lie within it are judged.
        window, tolerance
            Other windows ("1h", "1d") and another tolerance than the monitor's.
        against
            Rules of others to lay beside, such as "sagemaker".
        estimate
            Whether to say how often the rule alarms on unchanged data.
        """
        asked = {
            "from": start.isoformat(),
            "to": end.isoformat(),
            "window": window,
            "tolerance": tolerance,
            "against": list(against),
            "estimate": estimate,
        }
        return self._post("monitors", name, "backtest", body=asked)

    def commission(self, name: str) -> dict[str, Any]:
        """Return where a monitor stands with its baseline, and which drift is held back."""
        return self._get("monitors", name, "commission")

    def accept_commission(
        self, name: str, *, reason: str = "", author: str | None = None
    ) -> dict[str, Any]:
        """Judge drift against a monitor's baseline as it is, from the next window on."""
        asked = {"reason": reason, "author": author}
        return self._post("monitors", name, "commission", "accept", body=asked)

    def renew_baseline(
        self, name: str, *, start: datetime | None, end: datetime | None
    ) -> dict[str, Any]:
        """Make a new version of a monitor's baseline of rows captured in [start, end)."""
        span = without_none({"from": start, "to": end})
        return self._post("monitors", name, "baseline", body=span)

    def baseline_versions(self, name: str, *, limit: int | None = 100) -> Sequence[dict[str, Any]]:
        """List the versions of a baseline, the newest first, with the monitors that use each."""
        return self._items("baselines", name, "versions", limit=limit)

    def make_baseline_version(
        self,
        name: str,
        *,
        start: datetime,
        end: datetime,
        endpoint: str | None = None,
        monitor: str | None = None,
        promote: bool = False,
    ) -> dict[str, Any]:
        """Make a version of a baseline of rows of [start, end); nobody uses it until promoted.

        They are those that an endpoint captured, or those that a monitor reads, as of a table that
        others write.
        """
        rows = without_none({"endpoint": endpoint, "monitor": monitor})
        asked = {**rows, "from": start.isoformat(), "to": end.isoformat()}
        return self._post("baselines", name, "versions", body={**asked, "promote": promote})

    def compare_baseline_versions(self, name: str, reference: str, version: str) -> dict[str, Any]:
        """Compare a version of a baseline with another, each by its number or its digest."""
        return self._get("baselines", name, "comparison", reference=reference, version=version)

    def promote_baseline(self, name: str, version: str) -> dict[str, Any]:
        """Have a version of a baseline used by all monitors that follow it; an older one, too."""
        return self._post("baselines", name, "promote", body={"version": version})

    def baseline_promotions(
        self, name: str, *, limit: int | None = 100
    ) -> Sequence[dict[str, Any]]:
        """List which versions of a baseline came into use, when and by whom, the newest first."""
        return self._items("baselines", name, "promotions", limit=limit)

    def mark_monitor(
        self,
        name: str,
        *,
        window: str | datetime,
        verdict: str,
        reason: str,
        author: str,
        feature: str | None = None,
        check: str | None = None,
        until: datetime | None = None,
        rows: tuple[datetime, datetime] | None = None,
    ) -> dict[str, Any]:
        """Mark what a monitor found in a window as expected, harmful, or the new normal.

        Parameters
        ----------
        window
            Its start, as in links or as a time.
        verdict
            "expected", "harmful" or "new-normal"; docs/annotations.md says what each does.
        reason, author
            Why, and who says so.
        feature, check
            Of which violations; all without them.
        until
            Of "expected": windows that start before it are expected, too.
        rows
            Of "new-normal": start and end of the captured time that the feature's baseline is made
            of; without it from the window's start to now.
        """
        times = {"until": until, "from": None, "to": None}
        if rows is not None:
            times |= {"from": rows[0], "to": rows[1]}
        asked = {
            "window": window if isinstance(window, str) else window.isoformat(),
            "verdict": verdict,
            "reason": reason,
            "author": author,
            "feature": feature,
            "check": check,
            **{key: None if time is None else time.isoformat() for key, time in times.items()},
        }
        return self._post("monitors", name, "marks", body=asked)

    def marks(
        self, name: str, *, verdict: str | None = None, limit: int | None = 100
    ) -> Sequence[dict[str, Any]]:
        """List what was said of a monitor's findings, the newest first; or one verdict's."""
        return self._items("monitors", name, "marks", limit=limit, verdict=verdict)

    def withdraw_mark(self, name: str, mark_id: int, *, author: str) -> dict[str, Any]:
        """Take a mark back, with the version of the baseline that it made."""
        path = ("monitors", name, "marks", str(mark_id), "withdraw")
        return self._post(*path, body={"author": author})

    def captures(self) -> Sequence[dict[str, Any]]:
        """Count what was captured for every endpoint, also those that were never declared."""
        return self._items("capture")

    def put_truth(
        self,
        endpoint: str,
        labels: Mapping[str, object] | Iterable[Mapping[str, object]] | bytes,
        *,
        content_type: str = "text/csv",
        names: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Load labels of captured rows; of several labels for one row the last one counts.

        Parameters
        ----------
        endpoint
            Name of the endpoint.
        labels
            The label of each event id or inference id (a list: of each row of that request); or
            objects with ``id``, ``label`` and perhaps ``row_index``; or a body as bytes, of
            `content_type`. Long ones of the first two go in parts, each all or nothing.
        content_type
            Of a body in bytes: text/csv, application/json or application/jsonlines.
        names
            What columns or fields are called instead of ``id``, ``label`` and ``row_index``.

        Returns
        -------
        dict
            Counts: ``received``, ``stored``, ``duplicates``, ``empty`` (not known yet), and rows
            with ``conflicts``.
        """
        bodies: Iterable[bytes] = [labels] if isinstance(labels, bytes) else _label_bodies(labels)
        media = content_type if isinstance(labels, bytes) else "application/json"
        path = f"/api/v1/endpoints/{in_path(endpoint)}/truth"
        counts = ("received", "stored", "duplicates", "empty", "conflicts")
        total = dict.fromkeys(counts, 0)
        for body in bodies:
            found = self._json(
                "POST", path, content=body, params=names, headers={"content-type": media}
            )
            total = {key: count + found[key] for key, count in total.items()}
        return {"endpoint": endpoint, **total}

    def truth_report(self, endpoint: str, **span: str) -> dict[str, Any]:
        """Return how labels and captured rows fit together; ``from`` and ``to`` choose the days."""
        return self._get("endpoints", endpoint, "truth", **span)

    def import_facts(self, endpoint: str) -> dict[str, Any]:
        """Return what importing into an endpoint meets: its signature, and the first day kept."""
        return self._get("endpoints", endpoint, "capture", "import")

    def import_lines(self, endpoint: str, body: bytes, *, variant: str) -> dict[str, Any]:
        """Store capture lines of SageMaker that are not there yet; gives counts and bad lines."""
        return self._json(
            "POST",
            f"/api/v1/endpoints/{in_path(endpoint)}/capture/lines",
            content=body,
            params={"variant": variant},
            headers={"content-type": "application/jsonlines"},
        )

    def captured_hours(self, endpoint: str, **chosen: str) -> dict[str, Any]:
        """List the hours that are over and have records; ``from``, ``to``, ``variant`` choose."""
        path = ("endpoints", endpoint, "capture", "hours")
        found = self._get(*path, **chosen, limit=PAGE_MAX)
        page = found
        while (token := page.get("next_token")) is not None:
            page = self._get(*path, **chosen, limit=PAGE_MAX, next_token=token)
            found["items"] += page["items"]
        return found

    def captured_lines(self, endpoint: str, *, hour: str, variant: str) -> Iterator[bytes]:
        """Return the capture lines of one hour of a variant, without line ends."""
        path = f"/api/v1/endpoints/{in_path(endpoint)}/capture/lines"
        rest, params = b"", {"hour": hour, "variant": variant}
        for block in self._stream(path, params, again="export again"):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
        if rest:
            raise UnavailableError(f"{self.server} broke off within a line; export again")

    def erase(
        self,
        *,
        inference_ids: Sequence[str] = (),
        event_ids: Sequence[str] = (),
        where: str | None = None,
        endpoint: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Erase rows, bodies and labels that are stored under ids, of all endpoints or one.

        Or those of requests of one endpoint of which a stored row meets an expression (``where``).
        What comes later under the ids is dropped, too, until the day that is given back as
        ``until``.
        """
        asked = {
            "inference_ids": list(inference_ids),
            "event_ids": list(event_ids),
            "where": where,
            "endpoint": endpoint,
            "dry_run": dry_run,
        }
        return self._post("capture", "erasures", body=asked)

    def decode_captured(self, endpoint: str) -> dict[str, Any]:
        """Decode the requests of an endpoint that were stored raw by the signature it has now."""
        return self._post("endpoints", endpoint, "capture", "decoding")

    def capture_stats(self, endpoint: str) -> dict[str, Any]:
        """Count what was captured for an endpoint."""
        return self._get("endpoints", endpoint, "capture")


def collection(kind: str) -> str:
    """Return the collection of a kind; takes ``Monitor``, ``monitor`` and ``monitors``.

    Raises
    ------
    InputError
        For any other word.
    """
    for name, plural in KINDS.items():
        if kind.lower() in (name.lower(), plural):
            return plural
    raise InputError(f'kind "{kind}"; expected one of {", ".join(KINDS)}')


def _label_bodies(
    labels: Mapping[str, object] | Iterable[Mapping[str, object]],
) -> Iterator[bytes]:
    """Write labels as lists of objects, of a length that one request may have."""
    if isinstance(labels, Mapping):
        rest: Iterator[object] = ({"id": key, "label": label} for key, label in labels.items())
    else:
        rest = iter(labels)
    while part := list(islice(rest, _LABELS_PER_REQUEST)):
        yield json.dumps(part, default=_plain).encode()


def _plain(value: object) -> object:
    """Return a number of numpy as Python's, an array as a list, a time as text."""
    for name in ("tolist", "isoformat"):
        if (method := getattr(value, name, None)) is not None:
            return method()
    raise InputError(f"label of type {type(value).__name__}; expected a number or text")
