"""Sizes in bytes as people read them."""

from __future__ import annotations


def bytes_text(size: float) -> str:
    """Write a size in bytes with a binary unit: ``999 B``, ``61.2 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
