"""From settings to what redacts records; only processes that read the spool build it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from driftline.app.settings.settings import Settings, SettingsError
from driftline.errors import InputError

if TYPE_CHECKING:
    from driftline.capture.redaction.redactor import Redactor

log = logging.getLogger(__name__)


def redactor(settings: Settings) -> Redactor | None:
    """Return what applies the rules of ``[[capture.redact]]``; None when there are none.

    What they leave open is told in the log.
    """
    capture = settings.capture
    if not capture.redact:
        return None
    # Imported here: without rules nobody needs what rewrites bodies.
    from driftline.capture.redaction.keys import read_keys
    from driftline.capture.redaction.redactor import Redactor

    file = settings.folder / capture.redact_key_file if capture.redact_key_file else None
    try:
        found = Redactor(capture.redact, read_keys(capture.redact_keys, file))
    except InputError as error:
        raise SettingsError(str(error)) from error
    for endpoint, side in found.unguarded():
        log.warning(
            'redaction of "%s": all rules for a %s are optional, so bodies of another shape pass '
            "as they were sent; leave out optional: of several rules one that finds its field "
            "is enough",
            endpoint, side,
        )  # fmt: skip
    return found
