"""The first import of the process that forks those of an installation."""

from __future__ import annotations

import gc

from driftline.lazy_imports import start_lean_process

gc.disable()  # What is imported stays: there is no garbage to look for.
start_lean_process()
