"""What a client can ask of alarms, silences and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from driftline.app.client.connection import Json, api_path, tags_of
from driftline.app.client.metrics import MetricCalls

if TYPE_CHECKING:
    from driftline.alerts.alarms.alarm import State as AlarmState
    from driftline.alerts.notify.rows import Status as DeliveryStatus


class AlarmCalls(MetricCalls):
    """Calls about metrics, alarms, silences and deliveries."""

    def alarms(
        self,
        *,
        kind: Literal["metric", "composite"] | None = None,
        state: AlarmState | None = None,
        prefix: str = "",
        channel: str | None = None,
        tags: Mapping[str, str] | None = None,
        parents_of: str | None = None,
        children_of: str | None = None,
        limit: int | None = None,
    ) -> list[Json]:
        """List alarms of all kinds by name, with their states.

        Parameters
        ----------
        kind, state
            "metric" or "composite"; "OK", "ALARM" or "INSUFFICIENT_DATA".
        prefix, tags, channel
            Only names that begin so; with all of these tags; that notify this channel.
        parents_of, children_of
            Only composites that look at this alarm; only what this composite looks at.
        limit
            So many at most; None: all.
        """
        return self._items(
            "alarm-states", limit=limit, kind=kind, state=state, prefix=prefix or None,
            channel=channel, tag=tags_of(tags), parents_of=parents_of, children_of=children_of,
        )  # fmt: skip

    def alarm(self, name: str) -> Json:
        """Return one alarm of any kind: its definition and where it stands."""
        return self._get("alarms", name, "state")

    def explain_alarm(self, name: str) -> Json:
        """Return why an alarm is in its state, what is missing, and who was told."""
        return self._get("alarms", name, "explain")

    def set_alarm_state(
        self, name: str, state: AlarmState, reason: str, *, reason_data: str | None = None
    ) -> list[Json]:
        """Put an alarm into a state and run its actions; gives all changes that followed.

        A metric alarm is back in its true state after its next evaluation, a composite alarm when
        one of its children changes.
        """
        asked = {"state_value": state, "state_reason": reason, "state_reason_data": reason_data}
        return self._json("PUT", api_path("alarms", name, "state"), json=asked)["changes"]

    def switch_alarm_actions(self, *names: str, enabled: bool) -> None:
        """Switch the actions of alarms on or off, all or none; their states go on changing."""
        asked = {"names": list(names), "enabled": enabled}
        self._call("POST", "/api/v1/alarms/actions", json=asked)

    def tag_alarm(
        self, name: str, tags: Mapping[str, str] | None = None, *, without: Iterable[str] = ()
    ) -> dict[str, str]:
        """Add tags to an alarm and remove others; gives all that it has then."""
        asked = {"tags": dict(tags or {}), "without": list(without)}
        return self._json("PATCH", api_path("alarms", name, "tags"), json=asked)["tags"]

    def delete_alarm(self, name: str) -> None:
        """Delete an alarm of any kind; refused while a composite alarm looks at it."""
        kind = self.alarm(name)["kind"]
        collection = "composite-alarms" if kind == "composite" else "alarms"
        self._call("DELETE", api_path(collection, name))

    def alarm_history(
        self,
        name: str,
        *,
        limit: int | None = 100,
        type: Literal["ConfigurationUpdate", "StateUpdate", "Action"] | None = None,  # noqa: A002 - CloudWatch's
        start: datetime | None = None,
        end: datetime | None = None,
        order: Literal["newest", "oldest"] = "newest",
    ) -> list[Json]:
        """List what happened to an alarm, newest first; also after it was deleted."""
        return self._items(
            "alarms", name, "history", limit=limit, order=order, start=start, end=end, type=type
        )

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

    def replay_alarm(self, document: Mapping[str, Any]) -> list[Json]:
        """Return what an alarm would have done with the data that the document holds.

        The document is that of ``driftline alarm replay``; one line for each evaluation.
        """
        return self._post("alarms", "replay", body=document)["items"]

    def preview_alarm(self, document: Mapping[str, Any]) -> list[Json]:
        """Return what an alarm would have done with what is stored for its metrics.

        The document has ``alarm``, ``start`` and ``end``; the alarm need not be declared.
        """
        return self._post("alarms", "preview", body=document)["items"]

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
