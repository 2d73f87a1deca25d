"""The last import of a process that forks: memory that its forks are to share stays as it is."""

from __future__ import annotations

import gc

from driftline.mapped_files import release_mapped_files

gc.freeze()  # A collection would write to the pages that all share.
gc.enable()
release_mapped_files()
