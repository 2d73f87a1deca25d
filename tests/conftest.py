"""What all tests share."""

import atexit
import gc
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from _pytest.assertion import rewrite
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from httpx._transports import default as transports
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.kit.fixtures import install, installation, receiver
from tests.servers.commands import shared_by_workers
from tests.servers.kafka import kafka_broker, session_broker, topic
from tests.servers.postgres import backend, database_url, engine, module_database_url, postgres
from tests.servers.s3 import s3_root, s3_server
from tests.servers.wheel import wheel

# All of a session are here alone: another file that imports one has a server of its own.
__all__ = [
    "backend",
    "database_url",
    "engine",
    "install",
    "installation",
    "kafka_broker",
    "module_database_url",
    "postgres",
    "receiver",
    "s3_root",
    "s3_server",
    "session_broker",
    "topic",
    "wheel",
]

# A busy machine is no failure: time limits are for the benchmarks.
ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples in every run, until a test is changed: what is sent is not to fail for an old
# fault that was drawn by chance. Others are drawn each time at full length.
settings.register_profile("short", ANY_SPEED, max_examples=20, derandomize=True)
settings.register_profile("full", ANY_SPEED, max_examples=500)

# What an answer may take where a test does not say.
PATIENCE_S = 60.0

# When to collect garbage. Every 700 objects, as Python does, costs 7% of the tests' CPU time.
GARBAGE = (50_000, 20, 50)

# Files that share what is dear to start go to one worker: seeded installations, a broker, a wheel.
TOGETHER = {
    "access": ("tests/driftline/access/",),
    "cloudwatch": ("tests/serving/aws/cloudwatch/",),
    "dashboard": ("tests/dashboard/",),
    "broker": (
        "tests/capture/line/test_kafka",
        "tests/capture/line/test_soak.py",
        "tests/journeys/test_full_disk.py",
        "tests/journeys/test_kills.py",
        "tests/journeys/test_redaction.py",
        "tests/journeys/test_two_servers.py",
    ),
    "hosting": ("tests/serving/aws/hosting/",),
    "installed": ("tests/capture/installed/",),
    # Of one server that has judged three days, each file has a copy.
    "interface": ("tests/serving/api/",),
    "monitoring": ("tests/serving/aws/monitoring/",),
    "s3": (
        "tests/baseline/test_remote_inputs.py",
        "tests/capture/sagemaker/test_transfer_s3.py",
        "tests/capture/tables/test_s3",
        "tests/driftline/formats/test_location.py",
        "tests/serving/hosting/multi_model/test_file_cache.py",
        "tests/serving/test_artefacts_s3.py",
        "tests/serving/test_health.py",
    ),
    "wheel": ("tests/capture/tap/test_tap_without_packages.py", "tests/journeys/test_wheel.py"),
}
# By then the last of the files that mostly wait is begun, as a share of those that compute.
WAITING_UNTIL = 0.6
# Fixtures that start a program which a machine may lack, by the marker of their tests.
PROGRAMS = {
    "browser": "chromium",
    "kafka": "kafka_broker",
    "postgres": "postgres",
    "s3": "s3_server",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--full``: campaigns at full length, and the tests that only such a run has."""
    parser.addoption("--full", action="store_true", help="all tests, campaigns at full length")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples a property is tried on, where its test does not say."""
    settings.load_profile("full" if config.getoption("full") else "short")
    if not config.getoption("full"):
        # Else words of the modules that happen to be imported are drawn, too, and which these are
        # depends on the tests that ran before in this process.
        nothing_local = providers._local_constants
        providers._get_local_constants = lambda: nothing_local
    # Each client of httpx reads all certificates of the usual authorities, in 20 to 30 ms; it was
    # a fifth of the time of the tests of serving.
    transports.create_ssl_context = cache(transports.create_ssl_context)
    if config.getoption("dist") != "no" and not hasattr(config, "workerinput"):
        sharing = ExitStack()
        sharing.enter_context(shared_by_workers())
        config.add_cleanup(sharing.close)
    # Who hangs is to end a test some time, that is all: the usual five seconds are claims of speed.
    for name in ("connect", "read", "write", "pool"):
        setattr(DEFAULT_TIMEOUT_CONFIG, name, PATIENCE_S)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the tests without collecting garbage, and leave them out of later collections.

    Ten thousand tests and what they import stay until the end; to look through them again and
    again takes a quarter of the collection and a twentieth of the tests' time.
    """
    gc.disable()
    try:
        if hasattr(session.config, "workerinput"):
            _rewrite_share(session.config)
            # It looks for 838 names in all modules there are: in three times as many at its turn.
            import skops.io  # noqa: F401
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(*GARBAGE)
        # By then pytest has collected garbage twice more.
        atexit.register(gc.unfreeze)  # Extensions report what they still hold at the end.


def _rewrite_share(config: pytest.Config) -> None:
    """Rewrite the asserts of this worker's share of the files.

    All workers collect the same files in the same order, so on a fresh clone each would rewrite
    them all at the same moment as the others, and none would find what another has kept.
    """
    worker = config.workerinput
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    paths = [Path(argument.split("::")[0]) for argument in config.args]
    files = sorted(file for path in paths for file in [path, *path.rglob("*.py")] if file.is_file())
    for file in files[number % count :: count]:
        if file.name.startswith("test_"):
            cached = rewrite.get_cache_dir(file) / f"{file.stem}{rewrite.PYC_TAIL}"
            if rewrite._read_pyc(file, cached) is None:
                digest, code = rewrite._rewrite_test(file, config)
                cached.parent.mkdir(exist_ok=True)
                rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, digest, cached)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by the argument, not by its long bytes: workers must agree on the names.

    Compressed bytes hold the time at which they were compressed, which two workers that collect
    the tests in different seconds do not share.
    """
    return argname if isinstance(val, bytes) and len(val) > 20 else None


class Scheduling(LoadFileScheduling):
    """Scheduling by file; files that share what is dear to start go to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((name for name, group in TOGETHER.items() if file.startswith(group)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Hand out files as above, unless another way is asked for."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test that needs such a program, so that `-m "not s3"` leaves it out."""
    if hasattr(config, "workerinput"):
        places = _places(items)
        items.sort(key=lambda item: places[item.path])
    for item in items:
        for marker, fixture in PROGRAMS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
    if not config.getoption("full"):
        kept, left = _usual(items)
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def _usual(items: list[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Part the tests of a usual run from those that ``--full`` adds, by their markers."""
    kept, left, cases = list[pytest.Item](), list[pytest.Item](), Counter[str]()
    for item in items:
        is_left = item.get_closest_marker("full") is not None
        if not is_left and (first := item.get_closest_marker("first")) is not None:
            test = item.nodeid.partition("[")[0]
            cases[test] += 1
            is_left = cases[test] > first.args[0]
        (left if is_left else kept).append(item)
    return kept, left


def _places(items: list[pytest.Item]) -> dict[Path, float]:
    """Return where each file stands: of several workers each takes the next one.

    Groups of files come first, since one worker has each. Journeys mostly wait, others compute: so
    they are spread over the first part of the others, and neither cores are idle nor does one
    worker end minutes after the others.
    """
    groups = tuple(prefix for group in TOGETHER.values() for prefix in group)
    places: dict[Path, float] = {}
    waiting: dict[Path, None] = {}
    computing: dict[Path, None] = {}
    for item in items:
        if item.nodeid.startswith(groups):
            places[item.path] = -1.0
        elif "journeys" in item.path.parts or item.get_closest_marker("slow"):
            waiting[item.path] = None
        else:
            computing[item.path] = None
    for at, path in enumerate(computing):
        places[path] = at / len(computing)
    for at, path in enumerate(waiting):  # It may have tests of both.
        places[path] = WAITING_UNTIL * at / len(waiting)
    return places
