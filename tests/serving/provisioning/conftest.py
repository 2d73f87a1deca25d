"""One server for the tests of a file."""

import pytest

FOLDER = "tests/serving/provisioning/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Run these tests on PostgreSQL in a full run alone; test_queue.py is always run on it."""
    for item in items:
        if item.nodeid.startswith(FOLDER) and item.get_closest_marker("postgres"):
            item.add_marker(pytest.mark.full)


@pytest.fixture(scope="module")
def shared(start, tmp_path_factory, module_database_url):
    """Return one server for all tests that leave it as it was, or use names of their own."""
    with start(tmp_path_factory.mktemp("apply"), database=module_database_url) as found:
        yield found
