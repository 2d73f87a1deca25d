"""What a client can ask of silences, deliveries and incidents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline.app.client.connection import ServerCalls


class PolicyCalls(ServerCalls):
    """Calls about what becomes of messages."""

    def preview_silence(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Name the alarms that a silence of this spec is about; it need not be stored."""
        return self._post("silences", "preview", body={"spec": dict(spec)})

    def expire_silence(self, name: str) -> dict[str, Any]:
        """End a silence now; what it held back and still holds true is sent."""
        return self._post("silences", name, "expire")

    def deliveries(
        self,
        *,
        alarm: str | None = None,
        status: str | None = None,
        channel: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """List messages, newest first; those of an alarm, a channel, in a status."""
        return self._items("deliveries", alarm=alarm, status=status, channel=channel, limit=limit)

    def delivery(self, message_id: str) -> dict[str, Any]:
        """Give one message, and those that it carries."""
        return self._get("deliveries", message_id)

    def redeliver(self, message_id: str) -> dict[str, Any]:
        """Queue a message again that was given up or held back."""
        return self._post("deliveries", message_id, "redeliver")

    def incidents(
        self, *, status: str | None = None, endpoint: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """List incidents with their alarms, newest first; those open or closed."""
        return self._items("incidents", status=status, endpoint=endpoint, limit=limit)

    def incident(self, incident_id: str) -> dict[str, Any]:
        """Give one incident, its alarms and its messages."""
        return self._get("incidents", incident_id)
