"""What ``driftline up`` becomes once its settings are read: it watches the other processes.

Command line and settings take 11 MiB, which nobody needs for as long as an installation runs. So
this is a program of its own with few imports, in the same process:
``python -P -m driftline.app.commands.supervise PLAN``, where the plan is JSON without secrets.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from driftline.app.exit_codes import exit_code, last_words
from driftline.app.logs import configure_logging
from driftline.app.stopping import stop_on_signals
from driftline.app.up import start


@dataclass(frozen=True, slots=True)
class Plan:
    """What is watched, and what is told of it.

    ``roles`` are those that ``--only`` names, all where empty; ``urls`` are told by name as soon as
    all are ready. ``token_file`` is None where nobody logs in. With ``asks_storage`` it is said
    where a bucket cannot be used.
    """

    settings_file: str | None
    roles: list[str]
    transport: str
    log_format: str
    urls: dict[str, str]
    token_file: str | None
    asks_storage: bool


def become(plan: Plan) -> NoReturn:
    """Watch the processes from now on, in place of the program that runs."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # Closed from the start, as by >&-.
            stream.flush()
    command = [sys.executable, "-P", "-m", __name__, json.dumps(asdict(plan))]
    os.execv(sys.executable, command)  # noqa: S606 - our own module, with our own arguments


def log_in_line(url: str, token_file: Path) -> str:
    """Return how the user of this machine logs in: the secret on a terminal alone."""
    if not token_file.exists():
        return f"{'log in':<9} with a token of: driftline token create NAME --role viewer"
    if sys.stderr is None or not sys.stderr.isatty():
        return f"{'log in':<9} with the token in {token_file}"
    secret = token_file.read_text(encoding="ascii").strip()
    return f"{'log in':<9} {url}/login#token={secret}"


def watch(plan: Plan) -> None:
    """Start the processes, tell where they are, and watch them until told to stop."""
    stop = stop_on_signals()
    file = None if plan.settings_file is None else Path(plan.settings_file)
    supervisor = start(file, only=plan.roles, transport=plan.transport)
    try:
        supervisor.wait_ready()
        for name, url in plan.urls.items():
            _tell(f"{name:<9} {url}")
        if plan.token_file is not None:
            _tell(log_in_line(plan.urls["dashboard"], Path(plan.token_file)))
        _tell("ready; Ctrl-C ends it")
        if plan.asks_storage:
            # Beside the watch: a bucket that does not answer is waited for.
            threading.Thread(target=_tell_of_storage, args=(file,), name="storage").start()
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


def _tell_of_storage(settings_file: Path | None) -> None:
    """Print why the bucket cannot be used, if so; whoever needs it tries again by itself."""
    # Imported here because it pulls in more than a start needs.
    from driftline.app.commands.options import load_settings
    from driftline.app.doctor import examine_store
    from driftline.storage import use_options

    found = load_settings(settings_file)
    use_options(found.storage.options)
    store = examine_store(found.root)
    if store.verdict != "ok":
        _tell(
            f"{'storage':<9} {store.found}; {store.mend}; until then what is captured waits in "
            "the spool"
        )


def main() -> None:
    """Watch what the plan says, and leave with the exit code of what ends it."""
    plan = Plan(**json.loads(sys.argv[1]))
    configure_logging(plan.log_format)
    try:
        watch(plan)
    except Exception as error:  # noqa: BLE001 - the top of the process: a crash must not read as "violations" (1).
        _tell(last_words(error))
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
