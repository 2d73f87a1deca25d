"""What a client can ask of silences, deliveries and incidents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline.app.client.connection import ServerCalls, in_path


class PolicyCalls(ServerCalls):
    """Calls about what becomes of messages."""

    def preview_silence(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Name the alarms that a silence of this spec is about; it need not be stored."""
        found: dict[str, Any] = self._json(
            "POST", "/api/v1/silences/preview", json={"spec": dict(spec)}
        )
        return found

    def expire_silence(self, name: str) -> dict[str, Any]:
        """End a silence now; what it held back and still holds true is sent."""
        found: dict[str, Any] = self._json("POST", f"/api/v1/silences/{in_path(name)}/expire")
        return found

    def deliveries(
        self,
        *,
        alarm: str | None = None,
        status: str | None = None,
        channel: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """List messages, newest first; those of an alarm, a channel, in a status."""
        given = {"alarm": alarm, "status": status, "channel": channel, "limit": limit}
        params = {key: value for key, value in given.items() if value is not None}
        found: list[dict[str, Any]] = self._json("GET", "/api/v1/deliveries", params=params)[
            "items"
        ]
        return found

    def delivery(self, message_id: str) -> dict[str, Any]:
        """Give one message, and those that it carries."""
        found: dict[str, Any] = self._json("GET", f"/api/v1/deliveries/{in_path(message_id)}")
        return found

    def redeliver(self, message_id: str) -> dict[str, Any]:
        """Queue a message again that was given up or held back."""
        path = f"/api/v1/deliveries/{in_path(message_id)}/redeliver"
        found: dict[str, Any] = self._json("POST", path)
        return found

    def incidents(
        self, *, status: str | None = None, endpoint: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """List incidents with their alarms, newest first; those open or closed."""
        given = {"status": status, "endpoint": endpoint, "limit": limit}
        params = {key: value for key, value in given.items() if value is not None}
        found: list[dict[str, Any]] = self._json("GET", "/api/v1/incidents", params=params)["items"]
        return found

    def incident(self, incident_id: str) -> dict[str, Any]:
        """Give one incident, its alarms and its messages."""
        found: dict[str, Any] = self._json("GET", f"/api/v1/incidents/{in_path(incident_id)}")
        return found
