"""What all tests share."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: time limits are for the benchmarks.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
