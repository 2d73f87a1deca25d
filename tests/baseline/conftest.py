from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: time is measured in bench/, not here.
settings.register_profile("baseline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("baseline")
