"""Each test of this folder that asks for an engine runs on both databases."""

import pytest

from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param
