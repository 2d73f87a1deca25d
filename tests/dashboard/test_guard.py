import base64
import hashlib
import json

import pytest

from driftline.dashboard.guard import Refusal, check_call, policy

CALLS = {"..page.children...shown.data..": [("url", "pathname"), ("url", "search")]}
OUTPUTS = [{"id": "page", "property": "children"}, {"id": "shown", "property": "data"}]
INPUTS = [
    {"id": "url", "property": "pathname", "value": "/"},
    {"id": "url", "property": "search", "value": ""},
]


def call(**changes):
    body = {
        "output": "..page.children...shown.data..",
        "outputs": OUTPUTS,
        "inputs": INPUTS,
        "changedPropIds": ["url.pathname"],
    }
    return json.dumps({**body, **changes}).encode()


def test_call_of_the_page_passes():
    check_call(call(), CALLS)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 100_000, 400),
        (call(output=7), 400),
        (call(output="secret.children"), 404),
        (call(inputs=INPUTS[:1]), 400),
        (call(inputs="x"), 400),
        (call(inputs=[1, 2]), 400),
        (call(inputs=[{**INPUTS[0], "value": {"deep": 1}}, INPUTS[1]]), 400),
        (call(outputs=None), 400),
        (call(outputs=OUTPUTS[:1]), 400),
        (call(outputs=[1, 2]), 400),
        (call(changedPropIds=7), 400),
        (call(changedPropIds=[{}]), 400),
        (call(background="x"), 400),
    ],
)
def test_other_calls_are_refused(body, status):
    with pytest.raises(Refusal) as refusal:
        check_call(body, CALLS)

    assert refusal.value.status == status


def test_policy_names_each_inline_script_by_hash():
    code = b"var renderer = new DashRenderer();"
    wanted = base64.b64encode(hashlib.sha256(code).digest()).decode()

    found = policy(b'<script src="/a.js"></script><script id="r">' + code + b"</script>").decode()

    assert f"script-src 'self' 'sha256-{wanted}';" in found
    assert "unsafe-eval" not in found


def test_policy_allows_no_other_host_and_no_frame():
    found = policy(b"<p>").decode()

    assert "default-src 'self'" in found
    assert "frame-ancestors 'none'" in found
    assert "http" not in found
