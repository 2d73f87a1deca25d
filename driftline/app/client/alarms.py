"""What a client can ask of alarms."""

from __future__ import annotations

from driftline.app.client.connection import api_path
from driftline.app.client.metrics import MetricCalls


class AlarmCalls(MetricCalls):
    """Calls about metrics and alarms."""

    def delete_alarm(self, name: str) -> None:
        """Delete an alarm of any kind; refused while a composite alarm looks at it."""
        kind = self.alarm(name)["kind"]
        collection = "composite-alarms" if kind == "composite" else "alarms"
        self._call("DELETE", api_path(collection, name))
