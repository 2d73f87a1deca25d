"""An app with a log-in beside its model, captured by the one line of the README."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

import driftline as dl
from tests.kit.installation import Installation

SECRET = "hunter2-correct-horse"
REQUESTS: list[dict[str, Any]] = [
    {"path": "/login", "data": {"username": "ada", "password": SECRET}},
    {"path": "/login", "files": {"password": ("p.txt", SECRET)}},
    {"path": "/login", "json": {"username": "ada", "Password": SECRET}},
    {"path": "/oauth/token", "json": {"grant": {"clientSecret": SECRET, "ids": [1, 2]}}},
    {"path": "/rows", "json": {"columns": ["km", "api-key"], "data": [[1.5, SECRET]]}},
    {"path": "/rows", "json": {"inputs": [{"name": "token", "shape": [1], "data": [SECRET]}]}},
    {"path": "/rows", "content": f"km,api_key\n1.5,{SECRET}\n", "type": "text/csv"},
    {"path": "/rows", "content": f'{{"km": 1}}\n{{"access_token": "{SECRET}"}}\n',
     "type": "application/jsonlines"},
    {"path": "/users/ada@example.org/predict", "content": f'{{"token": "{SECRET}"',
     "type": "application/json"},
    {"path": "/login", "content": f"<login><password>{SECRET}</password></login>",
     "type": "application/xml"},
    {"path": "/login", "json": {"password_confirmation": SECRET, "passwordConfirm": SECRET}},
    {"path": "/login", "json": {"new_password_again": SECRET, "password2": SECRET}},
    {"path": "/login", "json": {"pin": SECRET, "otp": SECRET, "sessionId": SECRET}},
    {"path": "/login", "content": f'{{"p\\u0069n": "{SECRET}"}}', "type": "application/json"},
    {"path": "/predict", "json": {"km": 1.50, "note": "the token counts"}},
]  # fmt: skip


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with a token that nobody may keep."""
    while (await receive()).get("more_body"):
        pass
    kind = b"text/html" if scope["path"] == "/login" else b"application/json"
    body = json.dumps({"prediction": 7, "auth_token": SECRET}).encode()
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def ask_all(spool: Path) -> None:
    """Send all requests, one of them packed."""
    tap = dl.Capture(app, endpoint="shop", spool_dir=spool, headers=["X-Auth-Token", "X-Team"])

    async def run() -> None:
        transport = httpx.ASGITransport(tap)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            headers = {"x-auth-token": SECRET, "x-team": "blue"}
            for given in REQUESTS:
                one = dict(given)
                path, kind = one.pop("path"), one.pop("type", None)
                more = {"content-type": kind} if kind else {}
                answer = await client.post(path, headers={**headers, **more}, **one)
                assert answer.json()["auth_token"] == SECRET, "the app itself is not touched"
            packed = gzip.compress(json.dumps({"km": 2, "passwd": SECRET}).encode())
            more = {"content-type": "application/json", "content-encoding": "gzip"}
            await client.post("/rows", content=packed, headers={**headers, **more})

    asyncio.run(run())
    tap.spool.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, pd.DataFrame]]:
    with Installation(tmp_path_factory.mktemp("shop"), is_forked=True) as found:
        ask_all(found.folder / "store" / "spool")
        yield found, found.captured("shop", len(REQUESTS) + 1)


def unpacked(body: bytes | None) -> bytes:
    return gzip.decompress(body) if body and body[:2] == b"\x1f\x8b" else body or b""


def test_no_secret_of_an_app_is_stored(shop: tuple[Installation, pd.DataFrame]) -> None:
    _, table = shop

    stored = [unpacked(one) for one in (*table["request_body"], *table["response_body"])]

    assert len(table) == len(REQUESTS) + 1
    assert not any(SECRET.encode() in one for one in stored)
    assert SECRET not in table.drop(columns=["request_body", "response_body"]).to_csv()
    assert sum(b"***" in one for one in stored) > len(REQUESTS)


def test_forms_and_pages_are_not_kept_and_cost_no_coverage(
    shop: tuple[Installation, pd.DataFrame],
) -> None:
    installation, table = shop
    forms = table[table["request_content_type"].str.contains("form|xml", na=False)]

    assert len(forms) == 3
    assert {unpacked(one) for one in forms["request_body"]} == {b""}
    assert {unpacked(one) for one in forms["response_body"]} == {b""}
    assert (forms["request_bytes"] > 0).all()
    assert installation.get("/api/v1/endpoints/shop/capture")["coverage"] == 1


def test_a_body_without_secrets_stays_as_it_was_sent(
    shop: tuple[Installation, pd.DataFrame],
) -> None:
    _, table = shop

    bodies = [unpacked(one) for one in table["request_body"]]

    assert sum(b"the token counts" in one for one in bodies) == 1
    assert sum(b'"ids":[1,2]' in one for one in bodies) == 1
    assert set(table["headers"].map(lambda pairs: dict(pairs).get("x-team"))) == {"blue"}


# Of each: what is sent, its type and encoding, and what is kept of it.
KEPT = [
    (b'{"token_count": 3, "has_token": 1, "input_token": true, "pin": null}', "application/json",
     "", None),
    (b"has_token,km\n1,2.5\ntrue,3\n", "text/csv", "", None),
    (b"forgot my password,urgent\nhello there,low\n", "text/csv", "", None),
    (b"urgent,forgot the password\n", "", "", None),
    (b"token,km\nabc,2.5\n7,3\n", "text/csv", "", b"token,km\n***,2.5\n7,3\n"),
    (b'{"token_count": 3, "town": "M\\u00fcn', "application/json", "", None),
    (b'{"km": 3, "token": "abc', "application/json", "", b""),
    (b'{"km": 3}', "application/json", "utf-8", b""),
    (gzip.compress(b'{"km": 3}')[:-6], "application/json", "gzip", b""),
    (b'{"km": 3}', "application/octet-stream", "", b""),
]  # fmt: skip


def test_one_side_is_masked_or_left_out_without_the_other(
    shop: tuple[Installation, pd.DataFrame],
) -> None:
    installation, _ = shop
    spool = installation.folder / "store" / "spool"
    answer = b'{"prediction": 7}'

    async def answering(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    tap = dl.Capture(answering, endpoint="sides", spool_dir=spool)

    async def run() -> None:
        transport = httpx.ASGITransport(tap)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            for content, kind, encoding, _ in KEPT:
                named = {"content-type": kind, "content-encoding": encoding}
                headers = {name: value for name, value in named.items() if value}
                await client.post("/predict", content=content, headers=headers)

    asyncio.run(run())
    tap.spool.close()
    table = installation.captured("sides", len(KEPT))

    found = sorted(one or b"" for one in table["request_body"])
    assert found == sorted(sent if kept is None else kept for sent, _, _, kept in KEPT)
    assert set(table["response_body"]) == {answer}


def test_a_feature_with_the_name_of_a_secret_can_be_kept(tmp_path: Path) -> None:
    settings = '[capture]\nredact_names = ["*password*"]'
    with Installation(tmp_path, settings, is_forked=True) as found:
        with dl.Logger("texts", spool_dir=tmp_path / "store" / "spool") as log:
            log({"token": "of a text", "password": SECRET}, 1)

        body = unpacked(found.captured("texts", 1)["request_body"][0])

    assert b"of a text" in body
    assert SECRET.encode() not in body
