"""What all tests share."""

from hypothesis import HealthCheck, settings

from tests.servers.postgres import backend, database_url, module_database_url, postgres

__all__ = ["backend", "database_url", "module_database_url", "postgres"]

# A busy machine is no failure: time limits are for the benchmarks.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
