"""Every receiver by the type that a channel names: to add one, write its file and its line here.

SNS, EventBridge and Slack are formats of ``webhook``: `FORMATS` in `webhook.py`.
"""

from __future__ import annotations

from driftline.alerts.notify.receivers.alertmanager import ALERTMANAGER
from driftline.alerts.notify.receivers.apprise import APPRISE
from driftline.alerts.notify.receivers.command import COMMAND
from driftline.alerts.notify.receivers.nobody import NOBODY
from driftline.alerts.notify.receivers.pagerduty import PAGERDUTY
from driftline.alerts.notify.receivers.plugin import PLUGIN
from driftline.alerts.notify.receivers.receiver import Receiver
from driftline.alerts.notify.receivers.webhook import WEBHOOK

RECEIVERS: dict[str, Receiver] = {
    "webhook": WEBHOOK,
    "alertmanager": ALERTMANAGER,
    "pagerduty": PAGERDUTY,
    "apprise": APPRISE,
    "command": COMMAND,
    "plugin": PLUGIN,
    "none": NOBODY,
}
