"""What a client can ask of alarms, silences and deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from driftline.app.client.connection import Json, api_path
from driftline.app.client.metrics import MetricCalls

if TYPE_CHECKING:
    from driftline.alerts.notify.rows import Status as DeliveryStatus


class AlarmCalls(MetricCalls):
    """Calls about metrics, alarms, silences and deliveries."""

    def delete_alarm(self, name: str) -> None:
        """Delete an alarm of any kind; refused while a composite alarm looks at it."""
        kind = self.alarm(name)["kind"]
        collection = "composite-alarms" if kind == "composite" else "alarms"
        self._call("DELETE", api_path(collection, name))

    def test_channel(self, name: str) -> Json:
        """Send one test message by a channel now; give what the receiver answered."""
        return self._post("channels", name, "test")

    def enable_channel(self, name: str) -> Json:
        """Switch a channel on again that a receiver's 410 switched off; give how it fares."""
        return self._post("channels", name, "enable")

    def channel_log(
        self, name: str, *, message: str | None = None, limit: int | None = 100
    ) -> list[Json]:
        """List attempts to send by a channel, newest first; or those of one message."""
        return self._items("channels", name, "log", limit=limit, message=message)

    def preview_silence(self, spec: Mapping[str, Any]) -> Json:
        """Name the alarms that a silence of this spec is about; it need not be stored."""
        return self._post("silences", "preview", body={"spec": dict(spec)})

    def expire_silence(self, name: str) -> Json:
        """End a silence now; what it held back and still holds true is sent."""
        return self._post("silences", name, "expire")

    def deliveries(
        self,
        *,
        alarm: str | None = None,
        status: DeliveryStatus | None = None,
        channel: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = 100,
    ) -> list[Json]:
        """List messages, newest first; those of an alarm, a channel, in a status, of a span."""
        return self._items(
            "deliveries", limit=limit, alarm=alarm, status=status, channel=channel,
            **{"from": start, "to": end},
        )  # fmt: skip

    def delivery(self, message_id: str) -> Json:
        """Return one message, and those that it carries."""
        return self._get("deliveries", message_id)

    def redeliver(self, message_id: str) -> Json:
        """Queue a message again that was given up or held back."""
        return self._post("deliveries", message_id, "redeliver")
