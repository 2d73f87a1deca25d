"""Seeds of a test: few in the usual run, more with ``--full``."""

from __future__ import annotations

import pytest


def seeds(usual: int, all_of_them: int) -> list[object]:
    """Return numbers from 0 on, to parametrize a test by; the later ones run with --full only."""
    later = range(usual, all_of_them)
    return [*range(usual), *(pytest.param(seed, marks=pytest.mark.full) for seed in later)]
