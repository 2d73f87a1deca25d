"""Logging in by OpenID Connect at a real small provider, and attacks on that as a table."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from driftline.access.authentication import COOKIE
from driftline.access.oidc import Attempt, Provider
from driftline.access.principal import read_group_roles
from driftline.dashboard.login import ATTEMPT, CALLBACK
from tests.dashboard.guarded import LAYOUT, SILENCE, act, guarded

CLIENT, SECRET = "driftline", "s e/c+r:e%t" * 3


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer(ThreadingHTTPServer):
    """A provider that knows one person; tests change what it says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.key, self.other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        self.reset()

    def reset(self) -> None:
        self.codes: dict[str, dict] = {}
        self.used: list[str] = []
        self.document = {
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
        }  # fmt: skip
        self.claims = {
            "email": "ana@example.org", "email_verified": True, "groups": ["on-call", "others"],
        }  # fmt: skip
        self.header = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        self.sign = self.rs256

    def rs256(self, text: bytes) -> bytes:
        return self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())

    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def id_token(self, asked: dict) -> str:
        now = int(time.time())
        usual = {
            "iss": self.url, "aud": CLIENT, "sub": "1234", "iat": now, "exp": now + 60,
            "nonce": asked["nonce"],
        }  # fmt: skip
        claims = {key: value for key, value in (usual | self.claims).items() if value != "gone"}
        text = f"{b64(json.dumps(self.header).encode())}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(self.sign(text.encode()))}"


class Answer(BaseHTTPRequestHandler):
    """What the provider answers."""

    server: Issuer

    def log_message(self, *_) -> None:
        """Keep quiet."""

    def reply(self, found: dict, status: int = 200) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        parts, issuer = urlsplit(self.path), self.server
        if parts.path == "/.well-known/openid-configuration":
            self.reply(issuer.document)
        elif parts.path == "/keys":
            numbers = issuer.key.public_key().public_numbers()
            key = {"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256",
                   "n": number(numbers.n), "e": number(numbers.e)}  # fmt: skip
            self.reply({"keys": [key]})
        else:
            asked = {key: found[0] for key, found in parse_qs(parts.query).items()}
            code = secrets.token_urlsafe(8)
            issuer.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_response(302)
            self.send_header("location", f"{asked['redirect_uri']}?{back}")
            self.send_header("content-length", "0")
            self.end_headers()

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["content-length"])).decode()
        given = {key: found[0] for key, found in parse_qs(text).items()}
        asked = self.server.codes.pop(given.get("code", ""), None)
        self.server.used.append(given.get("code", ""))
        pair = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        verifier = given.get("code_verifier", "").encode()
        is_right = (
            asked is not None
            and parse_qs(f"p={pair}")["p"] == [f"{CLIENT}:{SECRET}"]
            and given["grant_type"] == "authorization_code"
            and given["redirect_uri"] == asked["redirect_uri"]
            and asked["code_challenge_method"] == "S256"
            and asked["code_challenge"] == b64(hashlib.sha256(verifier).digest())
        )
        if not is_right:
            self.reply({"error": "invalid_grant"}, 400)
            return
        self.reply(
            {"access_token": "x", "token_type": "Bearer", "id_token": self.server.id_token(asked)}
        )


@pytest.fixture(scope="module")
def issuer():
    found = Issuer()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join(10)
    found.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory, issuer):
    provider = Provider(
        issuer.url, CLIENT, SECRET, "", "openid email", "email", "groups",
        read_group_roles(["on-call=operator", "staff=viewer"]),
    )  # fmt: skip
    with guarded(tmp_path_factory.mktemp("oidc"), provider=provider) as found:
        provider.redirect_uri = f"{found.url}{CALLBACK}"
        yield found


@pytest.fixture
def browser(site, issuer):
    issuer.reset()
    with site.browser() as found:
        yield found


def begin(browser, to="/"):
    """Go to the provider; return where it leads back to."""
    answer = browser.get("/login/oidc", params={"next": to})
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["location"]).headers["location"]


def test_a_person_logs_in_and_changes_bear_their_name(site, browser):
    page = browser.get("/login?next=/alarms")
    assert (
        f'href="/login/oidc?next=%2Falarms">Log in with {site.access.provider.host}<' in page.text
    )

    answer = browser.get(begin(browser, "/alarms?state=ALARM"))

    assert (answer.status_code, answer.headers["location"]) == (303, "/alarms?state=ALARM")
    assert ATTEMPT not in browser.cookies
    assert '"title":"ana@example.org: operator"' in browser.get(LAYOUT).text
    assert act(browser, "silence", SILENCE).status_code == 200
    assert [(one["via"], one["action"]) for one in site.audit(subject="ana@example.org")] == [
        ("session", "create"), ("oidc", "login"),
    ]  # fmt: skip


def test_the_cookie_of_the_way_is_short_and_for_the_login_alone(browser):
    cookie = browser.get("/login/oidc").headers["set-cookie"]

    assert cookie.startswith(f"{ATTEMPT}=")
    assert cookie.split("; ", 1)[1] == "HttpOnly; Max-Age=600; Path=/login; SameSite=lax"


def _hs256(issuer):
    issuer.header["alg"] = "HS256"
    issuer.sign = lambda text: hmac.digest(issuer.public_pem(), text, "sha256")


def _none(issuer):
    issuer.header["alg"] = "none"
    issuer.sign = lambda _: b""


def _other_key(issuer):
    issuer.sign = lambda text: issuer.other.sign(text, padding.PKCS1v15(), hashes.SHA256())


def _changed(issuer):
    issuer.sign = lambda text: issuer.rs256(text + b" ")


def _says(**claims):
    return lambda issuer: issuer.claims.update(claims)


# name → what is wrong with the ID token, and what is said of it; none may let anybody in.
ATTACKS = {
    "a wrong nonce": (_says(nonce="x"), "'nonce'"),
    "no nonce": (_says(nonce="gone"), "'nonce'"),
    "another client's": (_says(aud="grafana"), "'aud'"),
    "several clients', and not said whose": (_says(aud=[CLIENT, "grafana"]), "for another client"),
    "made for another client": (
        _says(aud=[CLIENT, "grafana"], azp="grafana"),
        "for another client",
    ),
    "another issuer's": (_says(iss="https://evil.example"), "'iss'"),
    "no issuer": (_says(iss="gone"), "'iss'"),
    "expired": (_says(exp=int(time.time()) - 60), "expired"),
    "without an end": (_says(exp="gone"), "'exp'"),
    # By more than a run of all tests takes: this is read when they are collected.
    "made in the future": (_says(iat=int(time.time()) + 86_400), "in the future"),
    "without a subject": (_says(sub="gone"), "'sub'"),
    "alg none": (_none, "'none' is not allowed"),
    "HS256 with the public key": (_hs256, "'HS256' is not allowed"),
    "signed with another key": (_other_key, "bad_signature"),
    "changed after it was signed": (_changed, "bad_signature"),
    "an email that is not verified": (_says(email_verified=False), "not verified"),
    "an email of which nothing is said": (_says(email_verified="gone"), "not verified"),
    "no email": (_says(email="gone"), 'has no "email"'),
    "no group that has a role": (_says(groups=["guests"]), "has no role"),
    "groups that are none": (_says(groups={"on-call": True}), "has no role"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_id_token_lets_nobody_in(browser, issuer, attack):
    change, reason = ATTACKS[attack]
    change(issuer)

    answer = browser.get(begin(browser))

    assert (answer.status_code, reason in unescape(answer.text)) == (403, True), answer.text
    assert COOKIE not in browser.cookies
    assert browser.get("/").status_code == 303


def test_an_answer_serves_once(site, browser, issuer):
    back = begin(browser)
    kept = browser.cookies[ATTEMPT]
    assert browser.get(back).status_code == 303
    browser.cookies.clear()

    assert browser.get(back).status_code == 403
    headers = {"cookie": f"{ATTEMPT}={kept}"}
    assert browser.get(back, headers=headers).status_code == 403
    assert COOKIE not in browser.cookies
    assert len(issuer.used) == 2


@pytest.mark.parametrize(
    "change",
    [{"state": "x"}, {"state": ""}, {"iss": "https://evil.example"}, {"code": None},
     {"code": "guess"}, {"code": None, "error": "access_denied", "error_description": "<b>no"}],
)  # fmt: skip
def test_an_answer_that_was_changed_lets_nobody_in(browser, change):
    back = urlsplit(begin(browser))
    found = {key: values[0] for key, values in parse_qs(back.query).items()} | change
    asked = {key: value for key, value in found.items() if value is not None}

    answer = browser.get(CALLBACK, params=asked)

    assert answer.status_code == 403
    assert "<b>" not in answer.text
    assert COOKIE not in browser.cookies


def test_what_an_answer_says_is_one_line_of_the_log(browser, caplog):
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]

    browser.get(CALLBACK, params={"state": state, "error": "x\nERROR forged \u2028line"})

    (said,) = [one.getMessage() for one in caplog.records if "login_refused" in one.getMessage()]
    assert "forged" in said
    assert len(said.splitlines()) == 1


def test_an_answer_in_another_browser_lets_nobody_in(site, browser, issuer):
    back = begin(browser)
    with site.browser() as victim:
        begin(victim)
        assert victim.get(back).status_code == 403
        assert COOKIE not in victim.cookies
    assert issuer.used == []


@pytest.mark.parametrize("verifier", ["", "x" * 43])
def test_a_code_without_its_verifier_is_refused_by_the_provider(
    browser, issuer, verifier, monkeypatch
):
    back, of = begin(browser), Attempt.of
    monkeypatch.setattr(
        Attempt, "of", lambda self, what: verifier if what == "verifier" else of(self, what)
    )

    answer = browser.get(back)

    assert answer.status_code == 403
    assert "invalid_grant" in answer.text
    assert len(issuer.used) == 1


@pytest.mark.parametrize("cookie", ["", ":/", "x", "x:/", "ä", "%ed%a0%80:/"])
def test_a_cookie_that_is_none_of_ours_is_refused(browser, cookie):
    back = begin(browser)
    browser.cookies.clear()
    headers = {"cookie": f"{ATTEMPT}={cookie}".encode()}

    assert browser.get(back, headers=headers).status_code == 403
    asked = {"state": "x", "code": "x"}
    assert browser.get(CALLBACK, params=asked, headers=headers).status_code == 403


def test_cookies_of_other_pages_do_not_keep_anybody_from_logging_in(browser):
    back = begin(browser)
    kept = browser.cookies[ATTEMPT]
    browser.cookies.clear()

    answer = browser.get(back, headers={"cookie": f'prefs={{"a":1}}; x[y]=1; {ATTEMPT}={kept}'})

    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("key", "value"),
    [("issuer", "https://evil.example"), ("authorization_endpoint", "http://evil.example/a"),
     ("authorization_endpoint", None)],
)  # fmt: skip
def test_a_provider_that_is_another_is_not_asked(browser, issuer, key, value):
    issuer.document[key] = value

    answer = browser.get("/login/oidc")

    assert answer.status_code == 503
    assert "location" not in answer.headers


def test_the_login_leads_to_own_pages_only(browser):
    assert browser.get(begin(browser, "//evil.example")).headers["location"] == "/"
