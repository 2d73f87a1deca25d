"""The first import of the process that forks those of an installation."""

from __future__ import annotations

from driftline.lazy_imports import start_lean_process

start_lean_process()
