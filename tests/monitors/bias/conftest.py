"""What the tests of bias share: the reference."""

from tests.monitors.bias.cases import reference

__all__ = ["reference"]
