"""What ``driftline up`` does with its settings: it starts the processes and watches them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from driftline.app.stopping import stop_on_signals
from driftline.app.up import start
from driftline.settings.settings import Settings
from driftline.storage import is_remote


def log_in_line(url: str, token_file: Path) -> str:
    """Return how the user of this machine logs in: the secret on a terminal alone."""
    if not token_file.exists():
        return f"{'log in':<9} with a token of: driftline token create NAME --role viewer"
    if sys.stderr is None or not sys.stderr.isatty():
        return f"{'log in':<9} with the token in {token_file}"
    secret = token_file.read_text(encoding="ascii").strip()
    return f"{'log in':<9} {url}/login#token={secret}"


def watch(settings: Settings, roles: Sequence[str]) -> None:
    """Start the processes of these roles, all where empty, and watch them until told to stop."""
    stop = stop_on_signals()
    supervisor = start(settings.file, only=roles, transport=settings.transport)
    try:
        supervisor.wait_ready()
        if not roles or "server" in roles:
            _tell(f"{'server':<9} {settings.server_url}")
        if not roles or "dashboard" in roles:
            _tell(f"{'dashboard':<9} {settings.dashboard_url}")
            if settings.auth.mode != "off":
                _tell(log_in_line(settings.dashboard_url, settings.token_file))
        _tell("ready; Ctrl-C ends it")
        if is_remote(settings.root) and list(roles) != ["sidecar"]:
            # Beside the watch: a bucket that does not answer is waited for.
            threading.Thread(target=_tell_of_storage, args=(settings,), name="storage").start()
    except BaseException:
        supervisor.stop()
        raise
    supervisor.watch(stop)


def _tell(line: str) -> None:
    # Whoever has closed his terminal reads nothing; the processes run on.
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


def _tell_of_storage(settings: Settings) -> None:
    """Print why the bucket cannot be used, if so; whoever needs it tries again by itself."""
    # Imported here because it pulls in more than a start needs.
    from driftline.app.doctor import examine_store
    from driftline.storage import use_options

    use_options(settings.storage.options)
    store = examine_store(settings.root)
    if store.verdict != "ok":
        _tell(
            f"{'storage':<9} {store.found}; {store.mend}; until then what is captured waits in "
            "the spool"
        )
