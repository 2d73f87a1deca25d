"""What a listener believes of a request and shows of itself, asked over real connections."""

from __future__ import annotations

import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from driftline.app.client.client import Client
from driftline.app.listener import check_tls
from driftline.errors import InputError, UnavailableError
from driftline.settings.settings import SettingsError, load
from tests.driftline.app.conftest import answering


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> dict[str, Path]:
    """Certificate, key and authority of this machine, and a key of another certificate."""
    own, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    found = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca", "other")}
    own.cert_chain_pems[0].write_to_path(found["cert"])
    own.private_key_pem.write_to_path(found["key"])
    other.private_key_pem.write_to_path(found["other"])
    authority.cert_pem.write_to_path(found["ca"])
    return found


async def alarms(scope: Any, _receive: Any, send: Any) -> None:
    body = json.dumps({"items": [], "scheme": scope["scheme"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_nobody_says_by_a_header_from_which_address_they_ask() -> None:
    seen = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with answering(app) as port:
        headers = {"x-forwarded-for": "10.9.9.9", "x-forwarded-proto": "https"}
        httpx.get(f"http://127.0.0.1:{port}/", headers=headers)

    assert seen == [("127.0.0.1", "http")]


def test_a_client_checks_the_certificate_by_the_authority_of_its_settings(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driftline.toml").write_text('[server]\ntls_ca_file = "ca.pem"\n')
    with answering(alarms, tls=(files["cert"], files["key"])) as port:
        url = f"https://127.0.0.1:{port}"
        with Client(url) as client, pytest.raises(UnavailableError) as stranger:
            client.list("Alarm")
        plain = f"http://127.0.0.1:{port}"
        with Client(plain) as client, pytest.raises(UnavailableError, match="see http or https"):
            client.list("Alarm")
        monkeypatch.chdir(tmp_path)
        with Client(url) as client:
            assert client.list("Alarm") == []
        other_name = f"https://localhost:{port}"
        with Client(other_name) as client, pytest.raises(UnavailableError, match="tls_ca_file"):
            client.list("Alarm")

    assert "unable to get local issuer certificate" in str(stranger.value)
    assert "tls_ca_file" in str(stranger.value)


def test_a_client_is_told_that_a_server_has_no_tls() -> None:
    with (
        answering(alarms) as port,
        Client(f"https://127.0.0.1:{port}") as client,
        pytest.raises(UnavailableError, match="see http or https"),
    ):
        client.list("Alarm")


def test_an_old_version_of_tls_is_refused(files: dict[str, Path]) -> None:
    old, new = (ssl.create_default_context(cafile=files["ca"]) for _ in range(2))
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    with answering(alarms, tls=(files["cert"], files["key"])) as port:

        def shake_hands(context: ssl.SSLContext) -> str | None:
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                return secure.version()

        assert shake_hands(new) == "TLSv1.2"
        with pytest.raises(ssl.SSLError):
            shake_hands(old)


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"),
    [
        ("cert", "other", "key values mismatch"),
        ("cert", "ca", "no private key|pem lib|no start line"),
        ("cert", "missing", "no such file or directory: '.*missing'"),
        ("missing", "key", "no such file or directory: '.*missing'"),
        ("sealed", "sealed", "bad password|bad decrypt|problems getting password|pem lib"),
    ],
)
def test_files_that_are_no_pair_are_one_sentence(
    files: dict[str, Path], tmp_path: Path, certificate: str, key: str, sentence: str
) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    loaded = pem.load_pem_private_key(files["key"].read_bytes(), None)
    sealed = loaded.private_bytes(
        pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"word")
    )
    files["sealed"] = tmp_path / "sealed.pem"
    files["sealed"].write_bytes(files["cert"].read_bytes() + sealed)
    named = tuple(files.get(one, tmp_path / one) for one in (certificate, key))

    with pytest.raises(InputError, match=r"^\[server\] tls_cert_file ") as error:
        check_tls("server", *named)

    assert re.search(sentence, str(error.value), re.IGNORECASE), error.value
    assert str(error.value).endswith("in PEM, the key without a password")


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "driftline.toml").write_text('[server]\ntls_key_file = "key.pem"\n')
    found = load(tmp_path / "driftline.toml", environment={})

    with pytest.raises(SettingsError, match="without tls_cert_file; set both, or none"):
        _ = found.tls_files


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64])
def test_what_is_no_handshake_is_closed_without_a_line_in_the_log(
    files: dict[str, Path], sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        answering(alarms, tls=(files["cert"], files["key"])) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
    ):
        connection.sendall(sent)
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass

    assert [one.getMessage() for one in caplog.records if one.levelname != "DEBUG"] == []
