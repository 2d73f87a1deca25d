"""Nobody: messages are kept in the notification log and go nowhere, as of a topic of SNS alone."""

from __future__ import annotations

from driftline.alerts.notify.receivers.programs import render_for_program
from driftline.alerts.notify.receivers.receiver import Answer, Attempt, Options, Receiver


async def _send(_attempt: Attempt) -> Answer:
    return Answer(0, is_http=False)


NOBODY = Receiver(options=Options, render=render_for_program, send=_send, url="none")
