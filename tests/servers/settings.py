"""Settings of an installation in a folder, read as the processes read them."""

from __future__ import annotations

from pathlib import Path

from driftline.settings.settings import Settings, load


def settings_in(folder: Path, text: str = "", **environment: str) -> Settings:
    """Write driftline.toml into a folder, and read it; of variables only those that are given."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "driftline.toml"
    file.write_text(text)
    return load(file, environment=environment)
