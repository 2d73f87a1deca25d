"""What the tests of bias share: the reference."""

from tests.monitors.kinds.bias.cases import reference

__all__ = ["reference"]
