"""A process that starts fast: pandas is not imported on the quiet.

pyarrow imports pandas, where it is installed, as soon as the first array is made, to know its
types when it meets them. That is a third of the time that a check of a small file takes, and a
command line never meets a pandas object unless it makes one.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

__all__ = ["leave_pandas_out"]


class _NoPandas(MetaPathFinder):
    """Finds everything as it was found before, but no pandas."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse pandas; leave all else to the next finder."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out at the start", name="pandas")


def leave_pandas_out() -> None:
    """Let pyarrow find no pandas at its first look; for processes that get no pandas objects.

    pandas can be imported as ever, and who asks pyarrow for a frame (``to_pandas``) gets one:
    then it looks again. To be called before pyarrow has made an array; later it changes nothing.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import pyarrow as pa

        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)
