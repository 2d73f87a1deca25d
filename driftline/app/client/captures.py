"""What a client can ask of captured requests and their labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal

from driftline.app.client.connection import Json, api_path
from driftline.app.client.operation_calls import OperationCalls
from driftline.errors import InputError, UnavailableError

_LABELS_PER_REQUEST = 50_000
_COUNTS = ("received", "stored", "duplicates", "empty", "conflicts")


class CaptureCalls(OperationCalls):
    """Calls about captured requests and their labels."""

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
