"""What the tests of model quality share: the reference."""

from tests.monitors.quality.cases import reference

__all__ = ["reference"]
