"""A client of a running server: everything that /api/v1 and the invocations route can do."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import httpx

from driftline.app.client.connection import Json, api_path, foreign, in_path, plain
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
    "ScalingPolicy": "scaling-policies",
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
        """Declare resources, all or nothing; the same once more changes nothing.

        Parameters
        ----------
        resources
            Each with ``kind``, ``name`` and ``spec``, as in a file for ``driftline apply``.
        dry_run
            Return what would change, and change nothing.
        wait
            Return when all that follows from it is ready, as `wait_until_ready` does.

        Returns
        -------
        dict
            What changed; after waiting also ``endpoints``, the status of each declared endpoint.

        Raises
        ------
        InputError
            When a resource is wrong: nothing is declared. When one that was waited for has failed:
            it is declared, and what was ready before goes on.
        """
        plan: Json = super().apply(resources, dry_run=dry_run)
        return self.wait_until_ready(plan) if wait else plan

    def wait_until_ready(
        self, plan: Json, *, timeout_s: float = _READY_S, progress: Advance | None = None
    ) -> Json:
        """Wait for what an apply has left to become ready.

        Parameters
        ----------
        plan
            The answer of `apply` without ``wait``.
        timeout_s
            The longest time from one resource's end to the next one's, in seconds; a deployment's
            own time is not counted.
        progress
            Called with how many are ready, and of how many, before each.

        Returns
        -------
        dict
            The plan, with ``endpoints``: the status of each declared endpoint, by name.

        Raises
        ------
        InputError
            When one has failed, after all have ended.
        UnavailableError
            When one is not ready in time; the server goes on with it.
        """
        failed, endpoints = dict[str, None](), {}
        for done, one in enumerate(plan["pending"]):
            if progress is not None:
                progress(done, len(plan["pending"]))
            kind, name = one["kind"], one["name"]
            status = self._ended(kind, name, one["generation"], timeout_s)
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

    def _ended(self, kind: ResourceKind, name: str, generation: int, timeout_s: float) -> Json:
        pause_s, end = _POLL_S, time.monotonic() + timeout_s
        while True:
            found = self.get(kind, name)
            status: Json = found["status"]
            if found["generation"] > generation:
                reason = "was applied again before this was ready"
                return {**status, "phase": "Failed", "reason": reason}
            if (status.get("deployment") or {"ended_at": ""})["ended_at"] is None:
                end = time.monotonic() + timeout_s  # It has a deadline of its own.
            is_loading = status.get("state") in ("Creating", "Updating")
            if status["phase"] == "Failed" or (status["phase"] == "Ready" and not is_loading):
                return status
            if time.monotonic() > end:
                state = status.get("state") or status["phase"]
                raise UnavailableError(
                    f'{kind} "{name}" is {state} after {timeout_s:g} s; the server goes on, and '
                    f"driftline get {kind} {name} shows how far it is"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_MAX_S)

    def list(
        self,
        kind: ResourceKind,
        *,
        prefix: str = "",
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> _List[Json]:
        """List the resources of a kind, in the order of their names.

        Parameters
        ----------
        kind
            Such as ``Monitor``, ``monitor`` or ``monitors``.
        prefix, owner, tags
            Only those whose name begins so, of this owner, with all of these tags.
        limit
            At most so many; by default all.

        Returns
        -------
        list of dict
            Each as `get` returns it; empty when there are none.
        """
        return self.list_resources(
            KINDS[kind_of(kind)], prefix=prefix, owner=owner, limit=limit,
            tag=[f"{key}={value}" for key, value in (tags or {}).items()],
        )  # fmt: skip

    def get(self, kind: ResourceKind, name: str) -> Json:
        """Return one resource: its spec, generation, tags and status.

        Raises
        ------
        NotFoundError
            When the server has no such resource.
        """
        return self.get_resource(KINDS[kind_of(kind)], name)

    def delete(self, kind: ResourceKind, name: str) -> None:
        """Delete one resource.

        Raises
        ------
        ConflictError
            While another resource needs it.
        NotFoundError
            When the server has no such resource.
        """
        self.delete_resource(KINDS[kind_of(kind)], name)

    def invoke(
        self,
        endpoint: str,
        body: bytes,
        *,
        content_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask an endpoint for predictions; request and answer are captured.

        Parameters
        ----------
        endpoint
            Its name.
        body, content_type
            The rows and their format, such as ``text/csv`` or ``application/json``.
        headers
            Others of InvokeEndpoint, such as X-Amzn-SageMaker-Inference-Id.

        Returns
        -------
        httpx.Response
            The whole answer.

        Raises
        ------
        InputError
            When the endpoint or its model refuses the rows.
        """
        sent = {**(headers or {}), "content-type": content_type}
        path = f"/endpoints/{in_path(endpoint)}/invocations"
        response = self._call("POST", path, content=body, headers=sent)
        if "x-amzn-requestid" not in response.headers:
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
        """Send rows to an asynchronous endpoint; the answer comes as a file.

        Parameters
        ----------
        endpoint
            Its name.
        body, content_type
            The rows and their format.
        input_location
            A file that the server reads, in place of a body.
        inference_id
            By which the answer is found; by default the server makes one.
        headers
            Others of InvokeEndpointAsync, such as X-Amzn-SageMaker-RequestTTLSeconds.

        Returns
        -------
        str
            The inference id.
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
        """Return all rows behind a violation as a file, piece by piece.

        Parameters
        ----------
        execution
            The id of the monitor's run.
        violation
            Its index in the report, from 0; by default the rows behind any that alarms.
        form
            The format of the file.

        Raises
        ------
        NotFoundError
            When there is no such run or violation.
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
        labels
            The label of each event id or inference id (a list: of each row of that request); or
            objects with ``id``, ``label`` and perhaps ``row_index``; or a body as bytes, of
            `content_type`. Long ones of the first two go in parts, each all or nothing.
        names
            What columns or fields are called instead of ``id``, ``label`` and ``row_index``.
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
        """Store capture lines of SageMaker that are not there yet.

        Parameters
        ----------
        endpoint, variant
            Whose requests these are.
        body
            JSON Lines, as data capture writes them.

        Returns
        -------
        dict
            How many were stored and left out, and the lines that could not be read.
        """
        return self._json(
            "POST",
            api_path("endpoints", endpoint, "capture", "lines"),
            content=body,
            params={"variant": variant},
            headers={"content-type": "application/jsonlines"},
        )

    def captured_lines(self, endpoint: str, *, hour: str, variant: str) -> Iterator[bytes]:
        """Return the capture lines of one hour, in SageMaker's form, without line ends.

        Parameters
        ----------
        endpoint, variant
            Whose requests these are.
        hour
            Its start, such as ``2026-01-15T07:00:00Z``.

        Raises
        ------
        UnavailableError
            When the answer breaks off: what came is not all.
        """
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
        """Add datapoints as PutMetricData does.

        Parameters
        ----------
        namespace
            Of the metrics.
        data
            Datapoints in CloudWatch's fields: ``MetricName``, ``Value`` and others.
        request_id
            The same once more stores nothing; by default each call has its own.

        Returns
        -------
        int
            How many were stored; 0 when the same call came before.

        Raises
        ------
        ConflictError
            When the id came before, with other datapoints.
        """
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


def kind_of(word: str) -> ResourceKind:
    """Return the kind that a word names, such as ``Monitor``, ``monitor`` or ``monitors``."""
    for kind, plural in KINDS.items():
        if word.lower() in (kind.lower(), plural):
            return kind
    raise InputError(f'kind "{word}"; expected one of {", ".join(KINDS)}')


def _label_bodies(
    labels: Mapping[str, object] | Iterable[Mapping[str, object]],
) -> Iterator[bytes]:
    if isinstance(labels, Mapping):
        labels = ({"id": key, "label": label} for key, label in labels.items())
    rest = iter(labels)
    while part := list(islice(rest, _LABELS_PER_REQUEST)):
        yield json.dumps(plain(part)).encode()
