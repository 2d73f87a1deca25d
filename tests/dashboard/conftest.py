"""A seeded installation, its dashboard on a real port, and a browser that forgives nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from driftline.access.principal import ANYBODY, CURRENT, Principal
from driftline.app.listener import Server, listen
from driftline.dashboard.app import create_app
from driftline.dashboard.login import SECRET
from driftline.dashboard.queries.stores import Stores
from driftline.serving.resources.endpoints import declared_endpoints
from driftline.settings.settings import describe, load
from tests.dashboard.measured_seed import seed_measured
from tests.dashboard.policed_seed import LATENCY, policed
from tests.dashboard.seed import seed
from tests.servers.chromium import PATIENCE_MS, browser

# The browser of all files of this folder, and the context of their pages. A page left open in it
# keeps the process that draws, and what that has compiled: a page takes 1.1 CPU-seconds, and took
# 1.7 with a new process for the page of each test.
SHARED = pytest.StashKey[tuple[ExitStack, Browser, BrowserContext, Page]]()

HOSTILE = '<img src=x onerror="alert(1)">temp & <b>co</b>'

WATCH = """
window.broken = [];
document.addEventListener("securitypolicyviolation", e => window.broken.push(e.violatedDirective));
"""


@pytest.fixture(scope="session")
def seeded(tmp_path_factory):
    # In a thread of its own: deliveries start an event loop, and the browser may hold this one's.
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(seed, tmp_path_factory.mktemp("seeded"), hostile=HOSTILE).result()
    yield found
    found.engine.dispose()


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """An installation with monitors of the other kinds, and alarms of every sort."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(seed_measured, tmp_path_factory.mktemp("measured")).result()
    yield found
    found.engine.dispose()


@pytest.fixture(scope="session")
def address(seeded):
    with serving(seeded) as found:
        yield found


@pytest.fixture(scope="session")
def measured_address(measured):
    with serving(measured) as found:
        yield found


@pytest.fixture(scope="session")
def policed_site(tmp_path_factory):
    """A server with alarms of every kind, silences and dead messages."""
    with ThreadPoolExecutor(1) as pool:
        context = policed(tmp_path_factory.mktemp("policed"))
        yield pool.submit(context.__enter__).result()
        pool.submit(context.__exit__, None, None, None).result()


@pytest.fixture(scope="session")
def policed_address(policed_site):
    with serving(policed_site) as found:
        yield found


@pytest.fixture
def as_role():
    """Be somebody of a role from now on; "anybody" where nobody is asked."""
    marks = []

    def be(role):
        who = ANYBODY if role == "anybody" else Principal("ana", frozenset({role}), via="session")
        marks.append(CURRENT.set(who))

    yield be
    for mark in reversed(marks):
        CURRENT.reset(mark)


@contextmanager
def serving(seeded):
    """Serve the dashboard of an installation on a free port; give its address."""
    send = getattr(seeded, "send", None)
    access = getattr(seeded, "access", None)
    read = getattr(seeded, "read", None)
    stores = Stores(
        seeded.engine, seeded.root, seeded.now, getattr(seeded, "signature_of", lambda _: None),
        ask=None if read is None else lambda path: read(path, SECRET.get()),
        declared=partial(declared_endpoints, seeded.engine),
        settings=describe(load(environment={})),
    )  # fmt: skip
    started = threading.Event()
    listener = listen("dashboard", "127.0.0.1", 0)
    server = Server(create_app(stores, send, access), ready=started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def window_at(page, place, count):
    """Return where a place among the windows of the timeline lies, and the box of the figure."""
    over = page.locator("#timeline .nsewdrag").last
    expect(over).to_be_attached()
    box = over.bounding_box()
    # Half a window is free on either side.
    return box["x"] + (0.5 + place) / (count + 1) * box["width"], box


class Visit:
    """A page of the browser that keeps every fault it saw."""

    def __init__(self, page, address):
        self.page, self.address = page, address
        self.faults = []
        page.add_init_script(WATCH)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._heard)
        page.on("request", self._asked)

    def open(self, path):
        self.page.goto(self.address + path)
        self.drawn()
        return self.page

    def drawn(self):
        self.page.wait_for_selector("#page [data-title]", state="visible")
        return self.page

    def check(self):
        self.faults += self.page.evaluate("() => window.broken")
        assert self.faults == []

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request):
        own = urlsplit(request.url).netloc == urlsplit(self.address).netloc
        if not own and not request.url.startswith(("data:", "blob:")):
            self.faults.append(f"foreign request: {request.url}")


def made_context(chromium):
    context = chromium.new_context(timezone_id="UTC", locale="en-GB", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    return context


@pytest.fixture(scope="module")
def shared(pytestconfig):
    if SHARED not in pytestconfig.stash:
        stack = ExitStack()
        chromium = stack.enter_context(browser())
        context = made_context(chromium)
        pytestconfig.stash[SHARED] = stack, chromium, context, context.new_page()
    return pytestconfig.stash[SHARED]


@pytest.fixture(scope="module")
def chromium(shared):
    """The browser that all files of this folder share."""
    return shared[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """End the browser behind the last test of this folder: those of others run event loops."""
    yield
    is_last = nextitem is None or Path(__file__).parent not in nextitem.path.parents
    if is_last and SHARED in item.config.stash:
        stack, *_ = item.config.stash[SHARED]
        del item.config.stash[SHARED]
        stack.close()


@pytest.fixture
def visits(shared, chromium):
    """Return what opens a new page at an address, in a context of its own if it is to be fresh."""
    context, kept = shared[2:]
    pages, fresh_ones = [], []

    def make(address, width=1440, scheme="light", *, fresh=False):
        if fresh:
            fresh_ones.append(made_context(chromium))
        page = (fresh_ones[-1] if fresh else context).new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        return Visit(page, address)

    yield make
    for one in (*pages, *fresh_ones):
        one.close()
    # The next test finds no more than the cache.
    context.clear_cookies()
    everywhere = {"origin": "*", "storageTypes": "local_storage"}
    tools = context.new_cdp_session(kept)
    tools.send("Storage.clearDataForOrigin", everywhere)
    tools.detach()


@pytest.fixture
def visit(visits, address):
    return partial(visits, address)


@pytest.fixture
def visit_measured(visits, measured_address):
    return partial(visits, measured_address)


@pytest.fixture
def visit_policed(visits, policed_address):
    return partial(visits, policed_address)


@pytest.fixture
def changeable(policed_site):
    """The name of an alarm, which is as it was declared again after the test."""
    shown = policed_site.send("GET", f"/api/v1/alarms/{quote(LATENCY)}", None)
    yield LATENCY
    declared = {key: shown[key] for key in ("kind", "name", "owner", "tags", "spec")}
    policed_site.send("POST", "/api/v1/apply", {"resources": [declared]})
