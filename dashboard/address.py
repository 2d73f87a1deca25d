"""Addresses of pages: every state that a reader can see is in the path and the query.

``/`` is the overview; ``/monitors/<name>?window=<stamp>&feature=<name>#rows`` one monitor, one of
its windows (the newest when unset) and one feature (the one with the most blame when unset).
``keep=<name>`` in place of ``feature`` asks for a feature only if the window has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlencode

__all__ = ["Address", "is_page", "monitor_link", "parse"]

LIMIT = 2_000
"""Longest name that is looked up, in characters; no stored name comes near it."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL asks for."""

    page: Literal["overview", "monitor", "missing"]
    monitor: str = ""
    window: str | None = None
    feature: str | None = None
    keep: str | None = None


def parse(path: str, query: str = "") -> Address:
    """Read a path and a query string; whatever names no page is ``missing``, never an error.

    Unknown parameters are ignored, so that an old link keeps working.
    """
    if not (_is_text(path) and _is_text(query)):
        return Address("missing")
    parts = [unquote(part) for part in path.strip("/").split("/")]
    asked = parse_qs(query.lstrip("?")) if len(query) < LIMIT * 10 else {}
    if parts == [""]:
        return Address("overview")
    if len(parts) == 2 and parts[0] == "monitors" and 0 < len(parts[1]) <= LIMIT:
        chosen = (_one(asked, name) for name in ("window", "feature", "keep"))
        return Address("monitor", parts[1], *chosen)
    return Address("missing")


def is_page(path: str) -> bool:
    """Say whether a path has the form of a page."""
    return parse(path).page != "missing"


def monitor_link(
    name: str,
    *,
    window: str | None = None,
    feature: str | None = None,
    keep: str | None = None,
    anchor: str = "",
) -> str:
    """Build the address of a monitor's page; any text is safe in a name."""
    asked = {"window": window, "feature": feature, "keep": keep}
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    place = f"/monitors/{quote(name, safe='')}"
    return place + (f"?{query}" if query else "") + (f"#{anchor}" if anchor else "")


def _is_text(given: str) -> bool:
    """Say whether a text could be stored: JSON may carry halves of characters."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one(asked: dict[str, list[str]], name: str) -> str | None:
    values = asked.get(name)
    return values[0] if values and len(values[0]) <= LIMIT else None
