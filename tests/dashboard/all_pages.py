"""Every page, by the installation that has something to show on it."""

from urllib.parse import quote

from tests.dashboard.conftest import HOSTILE
from tests.dashboard.measured_seed import ALARM_NAMES
from tests.dashboard.policed_seed import BROKEN, DRIFTS, LATENCY

MONITOR = "/monitors/flights-data-quality"
BUG = f"{MONITOR}?window=20131118T000000Z"
PAGES = {
    "seeded": {
        "fleet": "/", "endpoint": "/endpoints/flights", "drift": "/endpoints/flights/drift",
        "traffic": "/endpoints/flights/traffic", "logs": "/endpoints/flights/logs",
        "changes": "/endpoints/flights/changes", "monitor": f"{BUG}&feature=carrier",
        "monitor-calm": f"{MONITOR}?window=20131112T000000Z",
        "monitor-feature": f"{MONITOR}?feature=dest",
        "column": f"{MONITOR}/columns/carrier?window=20131118T000000Z",
        "column-number": f"{MONITOR}/columns/dewp",
        "explain": f"{MONITOR}/explain?window=20131118T000000Z&where=carrier%3DUA&feature=dest",
        "window": "/endpoints/flights/windows/20131118T000000Z",
        "window-rows": "/endpoints/flights/windows/20131118T000000Z/rows?where=carrier%3DEDV",
        "baseline": "/baselines/flights",
        "strange-name": f"{MONITOR}?feature={quote(HOSTILE)}", "jobs": "/jobs",
        "schedules": "/jobs?view=schedules", "audit": "/audit", "not-found": "/alarms/none",
        "setup": "/setup", "settings": "/setup/settings", "no-channels": "/setup/channels",
        "no-tokens": "/setup/tokens",
    },
    "measured": {
        "quality": "/endpoints/flights/quality", "fairness": "/endpoints/flights/fairness",
        "attribution": "/endpoints/flights/attribution", "set-up": "/endpoints/flights/drift",
        "monitor-quality": "/monitors/flights-quality", "monitor-bias": "/monitors/flights-bias",
        "monitor-attribution": "/monitors/flights-attribution", "alarms": "/alarms",
        "alarm-strange": f"/alarms/{quote(ALARM_NAMES[0], safe='')}", "fleet": "/",
    },
    "policed": {
        "alarm": f"/alarms/{quote(LATENCY)}?threshold=204",
        "alarm-drift": f"/alarms/{quote(DRIFTS[0])}",
        "composite": f"/alarms/{quote(BROKEN, safe='')}",
        "alarms": "/alarms", "messages": "/messages", "silences": "/silences",
        "channels": "/setup/channels", "no-baselines": "/setup",
    },
}  # fmt: skip
"""Pages by their name, by installation."""
LIKE_OTHERS = {
    "seeded": {
        "monitor-calm", "monitor-feature", "column-number", "strange-name", "no-channels",
        "traffic", "logs", "changes", "schedules", "no-tokens", "not-found", "endpoint", "column",
        "explain", "window", "baseline", "audit", "settings",
    },
    "measured": {
        "set-up", "monitor-bias", "alarm-strange", "fleet", "fairness", "monitor-attribution",
        "alarms", "attribution", "monitor-quality",
    },
    "policed": {"alarm-drift", "no-baselines", "messages", "composite", "alarms", "channels"},
}  # fmt: skip
"""Pages built of the same parts as others, which a short run leaves out."""
