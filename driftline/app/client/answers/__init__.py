"""Types of what `Client` returns and takes, as plain dictionaries: times are RFC 3339 in UTC."""

from driftline.app.client.answers.alarms import *  # noqa: F403
from driftline.app.client.answers.captures import *  # noqa: F403
from driftline.app.client.answers.monitors import *  # noqa: F403
from driftline.app.client.answers.resources import *  # noqa: F403
from driftline.app.client.answers.transforms import *  # noqa: F403
