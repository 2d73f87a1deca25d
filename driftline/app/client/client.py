"""A client of a running server: everything that /api/v1 and the invocations route can do."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import httpx

from driftline.app.client.connection import OF_ENDPOINTS, Json, api_path, foreign, in_path
from driftline.app.client.operation_calls import OperationCalls
from driftline.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from driftline.app.progress import Advance
    from driftline.serving.operations.resources import Collection
    from driftline.serving.resources.specs import Kind as ResourceKind

# Kinds of resources, as written in files, and their collections in the API.
KINDS: Mapping[ResourceKind, Collection] = {
    "Model": "models",
    "EndpointConfig": "endpoint-configs",
    "Endpoint": "endpoints",
    "Baseline": "baselines",
    "Monitor": "monitors",
    "Alarm": "alarms",
    "CompositeAlarm": "composite-alarms",
    "Silence": "silences",
    "Channel": "channels",
}


# How soon, and how seldom, a resource is looked at that becomes ready, and for how long.
_POLL_S, _POLL_MAX_S = 0.02, 1.0
_READY_S = 900.0
_LABELS_PER_REQUEST = 50_000
_COUNTS = ("received", "stored", "duplicates", "empty", "conflicts")
_List = list  # Within the class the name is a method's.


class Client(OperationCalls):
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

    def apply(
        self, resources: Sequence[Mapping[str, Any]], *, dry_run: bool = False, wait: bool = True
    ) -> Json:
        """Declare resources, all or nothing, and say what changed; twice the same changes nothing.

        Parameters
        ----------
        resources
            As resource files have them: each with kind, name and spec.
        dry_run
            Only say what would change.
        wait
            Whether to return when all that follows from it is ready; then ``endpoints`` of the
            answer says how each declared endpoint fares.

        Raises
        ------
        InputError
            When a resource is wrong: then nothing is declared. When, waited for, one has failed:
            it is declared, and what was ready before goes on.
        """
        plan: Json = super().apply(resources, dry_run=dry_run)
        return self.wait_until_ready(plan) if wait else plan

    def wait_until_ready(
        self, plan: Json, *, timeout_s: float = _READY_S, progress: Advance | None = None
    ) -> Json:
        """Wait for what an apply has left to become ready; return its answer, with ``endpoints``.

        Parameters
        ----------
        plan
            The answer of `apply`.
        timeout_s
            The longest time to wait for one resource after the one before.
        progress
            Told of how many resources, and of how many in all, this need not wait any more.

        Raises
        ------
        InputError
            When one has failed, after all have ended.
        UnavailableError
            When one is not ready in time; the server goes on with it.
        """
        failed, endpoints = dict[str, None](), {}
        pending = plan["pending"]
        for done, one in enumerate(pending):
            if progress is not None:
                progress(done, len(pending))
            kind, name = one["kind"], one["name"]
            status = self._ended(pending[done:], timeout_s)
            if kind == "Endpoint":
                told = ("state", "reason", "invocations", "variants")
                endpoints[name] = {key: status[key] for key in told}
            if "Failed" in (status["phase"], status.get("state")):
                failed[f'{kind} "{name}": {status["reason"]}'] = None
        # What failed for another's failure has that one's sentence at its end.
        causes = [one for one in failed if not any(one.endswith(f": {other}") for other in failed)]
        if causes:
            raise InputError("; ".join(causes))
        return {**plan, "endpoints": endpoints}

    def _ended(self, waiting: Sequence[Json], timeout_s: float) -> Json:
        """Return the status of the first of some resources once it is ready or has failed."""
        kind, name = waiting[0]["kind"], waiting[0]["name"]
        pause_s, end = _POLL_S, time.monotonic() + timeout_s
        while True:
            found: Json = self.get(kind, name)
            status: Json = found["status"]
            if found["generation"] > waiting[0]["generation"]:
                reason = "was applied again before this was ready"
                return {**status, "phase": "Failed", "reason": reason}
            is_loading = status.get("state") in ("Creating", "Updating")
            if status["phase"] == "Failed" or (status["phase"] == "Ready" and not is_loading):
                return status
            if time.monotonic() > end:
                raise UnavailableError(
                    f"not ready after {timeout_s:g} s: {'; '.join(map(self._state_of, waiting))}; "
                    f"the server goes on, and driftline get {kind} {name} shows how far it is"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_MAX_S)

    def _state_of(self, one: Json) -> str:
        status = self.get(one["kind"], one["name"])["status"]
        reason = f" ({status['reason']})" if status["reason"] else ""
        return f'{one["kind"]} "{one["name"]}" is {status.get("state") or status["phase"]}{reason}'

    def list(
        self,
        kind: ResourceKind,
        *,
        prefix: str = "",
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> _List[Json]:
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
        return self.list_resources(
            KINDS[kind_of(kind)], prefix=prefix, owner=owner, limit=limit,
            tag=[f"{key}={value}" for key, value in (tags or {}).items()],
        )  # fmt: skip

    def get(self, kind: ResourceKind, name: str) -> Json:
        """Return one resource."""
        return self.get_resource(KINDS[kind_of(kind)], name)

    def delete(self, kind: ResourceKind, name: str) -> None:
        """Delete one resource; refused while another needs it."""
        self.delete_resource(KINDS[kind_of(kind)], name)

    def invoke(
        self,
        endpoint: str,
        body: bytes,
        *,
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask an endpoint for predictions, which are captured; gives the whole HTTP response."""
        sent = {**(headers or {}), "content-type": content_type}
        path = f"/endpoints/{in_path(endpoint)}/invocations"
        response = self._call("POST", path, content=body, headers=sent)
        is_page = response.headers.get("content-type", "").startswith("text/html")
        if is_page and OF_ENDPOINTS not in response.headers:
            raise foreign(response)
        return response

    def invoke_async(
        self,
        endpoint: str,
        body: bytes = b"",
        *,
        content_type: str,
        input_location: str | None = None,
        inference_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Ask an asynchronous endpoint; gives the inference id, by which the answer is found.

        Parameters
        ----------
        body, input_location
            One of them: the rows, or the path or URI of a file of the server's.
        content_type
            Of the rows.
        inference_id
            Left out, the server makes one.
        headers
            Others of InvokeEndpointAsync, such as X-Amzn-SageMaker-RequestTTLSeconds.
        """
        own = {
            "content-type": content_type,
            "x-amzn-sagemaker-inputlocation": input_location,
            "x-amzn-sagemaker-inference-id": inference_id,
        }
        path = f"/endpoints/{in_path(endpoint)}/async-invocations"
        sent = {**(headers or {}), **{key: one for key, one in own.items() if one is not None}}
        return str(self._json("POST", path, content=body, headers=sent)["InferenceId"])

    def violation_rows(
        self,
        execution: str,
        violation: int | None = None,
        *,
        form: Literal["csv", "parquet"] = "csv",
    ) -> Iterator[bytes]:
        """Return all rows behind a violation, by its place in the report, as a file in pieces.

        Parameters
        ----------
        violation
            None: the rows behind any that alarms.
        form
            "csv" or "parquet".
        """
        path = f"/api/v1/executions/{in_path(execution)}/violations/rows"
        which = {} if violation is None else {"violation": violation}
        return self._stream(path, {"format": form, **which}, again="ask again")

    def put_truth(
        self,
        endpoint: str,
        labels: Mapping[str, object] | Iterable[Mapping[str, object]] | bytes,
        *,
        content_type: str = "text/csv",
        names: Mapping[Literal["id", "label", "row_index"], str] | None = None,
    ) -> Json:
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
        path, headers = api_path("endpoints", endpoint, "truth"), {"content-type": media}
        total: Json = {"endpoint": endpoint, **dict.fromkeys(_COUNTS, 0)}
        for body in bodies:
            found = self._json("POST", path, content=body, params=names, headers=headers)
            total |= {key: total[key] + found[key] for key in _COUNTS}
        return total

    def import_lines(self, endpoint: str, body: bytes, *, variant: str) -> Json:
        """Store capture lines of SageMaker that are not there yet; gives counts and bad lines."""
        return self._json(
            "POST",
            api_path("endpoints", endpoint, "capture", "lines"),
            content=body,
            params={"variant": variant},
            headers={"content-type": "application/jsonlines"},
        )

    def captured_lines(self, endpoint: str, *, hour: str, variant: str) -> Iterator[bytes]:
        """Return the capture lines of one hour of a variant, without line ends."""
        path = api_path("endpoints", endpoint, "capture", "lines")
        rest, params = b"", {"hour": hour, "variant": variant}
        for block in self._stream(path, params, again="export again"):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
        if rest:
            raise UnavailableError(f"{self.server} broke off within a line; export again")

    def put_metrics(
        self, namespace: str, data: Sequence[Mapping[str, Any]], *, request_id: str | None = None
    ) -> int:
        """Add datapoints as PutMetricData does; give how many were stored."""
        body = {"Namespace": namespace, "MetricData": [dict(one) for one in data]}
        sent = {
            "content": gzip.compress(json.dumps(body).encode()),
            "headers": {
                "content-type": "application/json",
                "content-encoding": "gzip",
                "idempotency-key": request_id or str(uuid.uuid4()),
            },
        }
        return int(self._json("POST", "/api/v1/metrics", **sent)["stored"])

    def metric_data(
        self,
        queries: Sequence[Mapping[str, Any]],
        start: datetime,
        end: datetime,
        *,
        newest_first: bool = True,
    ) -> _List[Json]:
        """Ask metrics and metric math, as GetMetricData does; all pages."""
        found: _List[Json] = []
        token: str | None = None
        while True:
            page = self.get_metric_data(
                [dict(query) for query in queries], start, end,
                scan_by="TimestampDescending" if newest_first else "TimestampAscending",
                next_token=token,
            )  # fmt: skip
            for part in page["metric_data_results"]:
                last = found[-1] if found else None
                # A result that was cut goes on at the top of the next page.
                if last and last["status_code"] == "PartialData" and _is_same(last, part):
                    last["timestamps"] += part["timestamps"]
                    last["values"] += part["values"]
                    last["status_code"] = part["status_code"]
                else:
                    found.append(part)
            token = page["next_token"]
            if token is None:
                return found
            _drop_unbegun(found)


def kind_of(word: str) -> ResourceKind:
    """Return the kind that a word names, such as ``Monitor``, ``monitor`` or ``monitors``."""
    for kind, plural in KINDS.items():
        if word.lower() in (kind.lower(), plural):
            return kind
    raise InputError(f'kind "{word}"; expected one of {", ".join(KINDS)}')


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


def _is_same(one: Json, other: Json) -> bool:
    return (one["id"], one["label"]) == (other["id"], other["label"])


def _drop_unbegun(found: list[Json]) -> None:
    """Drop results at the end that the next page tells whole."""
    while found and found[-1]["status_code"] == "PartialData" and not found[-1]["values"]:
        found.pop()
