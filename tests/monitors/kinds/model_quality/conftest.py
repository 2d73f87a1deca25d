"""What the tests of model quality share: the reference."""

from tests.monitors.kinds.model_quality.cases import reference

__all__ = ["reference"]
