"""The page /docs: every operation of the OpenAPI document, as plain HTML.

It needs no scripts and no other host: the usual viewers show nothing on a machine that is offline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from driftline.serving.operations.openapi import operations_of

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>driftline: programming interface</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{overflow:auto;white-space:pre-wrap}
section{border-top:1px solid #8884;padding:.6rem 0}summary{cursor:pointer}
h2{margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}p{margin:.2rem 0}ul{margin:.2rem 0}
b{display:inline-block;min-width:4.5rem}
</style></head><body><h1>driftline: programming interface</h1>
<p>Everything is JSON unless an operation says otherwise; errors are
<code>{"error": {"code": …, "message": …}}</code>. The same as a document, for generated clients:
<a href="/openapi.json">openapi.json</a>.</p>
"""


def page_of(document: Mapping[str, Any]) -> str:
    """Return the page of a document."""
    by_tag: dict[str, list[str]] = {}
    for method, path, operation in operations_of(document):
        section = "".join(_section(document, method, path, operation))
        by_tag.setdefault(operation["tags"][0], []).append(section)
    parts = [f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in by_tag.items()]
    return _HEAD + "\n".join(parts) + "\n</body></html>\n"


def _section(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    yield (
        f'<section id="{operation["operationId"]}">'
        f"<h3><b>{method}</b> <code>{escape(path)}</code></h3>"
    )
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(operation["description"]))
    yield from (f"<p>{part}</p>" for part in text.split("\n\n"))
    if parameters := operation.get("parameters"):
        items = "".join(f"<li>{_parameter(one)}</li>" for one in parameters)
        yield f"<ul>{items}</ul>"
    if body := operation.get("requestBody"):
        yield f"<p>request: {_media(body)}</p>"
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield f"<p>answer {status}: {_media(answer)}</p>"
    errors = ", ".join(
        f"<code>{status}</code> {escape(answer['description'].rstrip('.'))}"
        for status, answer in operation["responses"].items()
        if not status.startswith("2")
    )
    yield f"<details><summary>errors</summary><p>{errors}</p></details></section>\n"


def _parameter(parameter: Mapping[str, Any]) -> str:
    needed = " (needed)" if parameter.get("required") else ""
    kind = " or ".join(dict.fromkeys(_kinds(parameter["schema"])))
    about = escape(parameter["description"])
    return f"<code>{escape(parameter['name'])}</code> {escape(kind)}{needed}: {about}"


def _kinds(schema: Mapping[str, Any]) -> Iterator[str]:
    """Return the types that a schema allows, in words."""
    for one in schema.get("anyOf", ()):
        yield from _kinds(one)
    if "enum" in schema or "const" in schema:
        yield "|".join(map(str, schema.get("enum") or [schema.get("const")]))
    elif schema.get("type") not in (None, "null"):
        limits = [f"{word} {schema[key]}" for key, word in _LIMITS.items() if key in schema]
        yield " ".join([schema.get("format") or schema["type"], *limits])


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "maxLength": "length ≤"}


def _media(body: Mapping[str, Any]) -> str:
    """Return the media types of a request or an answer."""
    return ", ".join(map(escape, body.get("content", {}))) or "empty"
