"""The labels of the demo: which flights were late, known days after the model was asked.

As in real life the truth comes late and not for everything: a day's labels are known two days after
it has ended, and a flight that never arrived has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from driftline.app.client.client import Client
from driftline.app.demo.flights import LABEL, Request
from driftline.errors import UnavailableError

LABELS_KNOWN_AFTER = timedelta(days=2)


class LabelFeed:
    """Loads the labels of whole days, each day once, in order.

    Attributes
    ----------
    known_until
        Event time before which every label that will ever be known is loaded.
    """

    def __init__(
        self,
        client: Client,
        endpoint: str,
        table: pa.Table,
        requests: Sequence[Request],
        start: datetime,
    ) -> None:
        self.known_until = start
        self._client = client
        self._endpoint = endpoint
        # NaN for a flight that never arrived.
        self._late = table[LABEL].to_numpy(zero_copy_only=False).astype(float)
        self._requests = requests
        self._next = 0

    def load_until(self, moment: datetime, event_ids: Mapping[int, str]) -> None:
        """Load the labels of the days that have ended long enough before a moment."""
        until = moment - LABELS_KNOWN_AFTER
        while self._next < len(self._requests) and self.known_until < until:
            day_end = self.known_until + timedelta(days=1)
            lines = ["id,row_index,label"]
            while self._next < len(self._requests):
                request = self._requests[self._next]
                if request.event_time >= day_end:
                    break
                lines += self._lines(request, event_ids[self._next])
                self._next += 1
            self._send(lines)
            self.known_until = day_end

    def _lines(self, request: Request, event_id: str) -> list[str]:
        late = self._late[request.first : request.last]
        known = np.flatnonzero(~np.isnan(late))
        return [f"{event_id},{row},{late[row]:.0f}" for row in known.tolist()]

    def _send(self, lines: Sequence[str]) -> None:
        count = len(lines) - 1
        if not count:
            return
        body = "\n".join(lines).encode() + b"\n"
        stored = self._client.put_truth(self._endpoint, body, content_type="text/csv")["stored"]
        if stored != count:
            raise UnavailableError(f"labels: {stored} of {count} were stored")
