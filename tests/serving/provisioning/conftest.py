"""One server for the tests of a file."""

import pytest


@pytest.fixture(scope="module")
def shared(start, tmp_path_factory, module_database_url):
    """Return one server for all tests that leave it as it was, or use names of their own."""
    with start(tmp_path_factory.mktemp("apply"), database=module_database_url) as found:
        yield found
