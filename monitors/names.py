"""Names of the kinds of monitor, for whoever needs no more than the names."""

from __future__ import annotations

KINDS = ("data-quality", "model-quality", "bias", "attribution", "outliers", "joint")
# The kinds whose windows change when ground truth arrives.
NEEDS_LABELS = frozenset({"model-quality", "bias"})
