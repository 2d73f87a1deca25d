"""What all tests share."""

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.postgres import backend, database_url, module_database_url, postgres

__all__ = ["backend", "database_url", "module_database_url", "postgres"]

# A busy machine is no failure: time limits are for the benchmarks.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

# Fixtures that start a program which a machine may lack, by the marker of their tests.
PROGRAMS = {
    "browser": "chromium",
    "kafka": "kafka_broker",
    "postgres": "postgres",
    "s3": "s3_server",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs such a program, so that `-m "not s3"` leaves it out."""
    for item in items:
        for marker, fixture in PROGRAMS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
