"""Data sets that lie in other packages, which are fetched for them and never installed."""

from __future__ import annotations

import io
import subprocess
import zipfile
from functools import cache
from pathlib import Path

import pandas as pd

__all__ = ["read_packaged"]

ROOT = Path(__file__).parents[1]


@cache
def _packages() -> Path:
    found = subprocess.run(
        [ROOT / "scripts" / "datasets"], check=True, capture_output=True, text=True
    )
    return Path(found.stdout.strip())


def read_packaged(package: str, name: str) -> pd.DataFrame:
    """Read a CSV or Parquet file of a package, without the package's code."""
    (wheel,) = _packages().glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as files:
        data = io.BytesIO(files.read(name))
    return pd.read_parquet(data) if name.endswith(".pq") else pd.read_csv(data)
