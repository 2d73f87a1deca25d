"""Commands about alarms."""

from __future__ import annotations

import typer

from driftline.app.commands import alarm_states as states
from driftline.app.commands.alarm_replay import preview, replay

alarm = typer.Typer(
    help="See why alarms are in their states, set states, replay alarms.", no_args_is_help=True
)

alarm.command("list")(states.list_alarms)
alarm.command("get")(states.get_alarm)
alarm.command("explain")(states.explain)
alarm.command("history")(states.history)
alarm.command("set-state")(states.set_state)
alarm.command("enable")(states.enable)
alarm.command("disable")(states.disable)
alarm.command("tag")(states.tag)
alarm.command("delete")(states.delete)
alarm.command("replay")(replay)
alarm.command("preview")(preview)
