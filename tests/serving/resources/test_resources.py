"""Resources of the documents fit, and no sentence on one quotes a secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.app.commands.files import read_resources
from driftline.serving.resources.resources import parse_resources
from driftline.serving.resources.specs import ChannelSpec

DOCS = Path(__file__).parents[3] / "docs"


def test_resources_of_the_documents_fit(tmp_path):
    file = tmp_path / "resources.yaml"
    count = 0
    for page in DOCS.glob("*.md"):
        for block in page.read_text().split("```yaml\n")[1:]:
            file.write_text(text := block.split("```")[0])
            if text.startswith(("kind: ", "- kind: ")):
                count += len(parse_resources(read_resources(file)))

    assert count > 20


def test_no_error_of_what_may_hold_a_secret_quotes_it():
    with pytest.raises(ValidationError) as raised:
        ChannelSpec.model_validate({"secret": ["hunter2"], "authorization": ["hunter2"]})

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("receiver", [one for one in RECEIVERS.values() if one.key])
def test_no_error_quotes_a_services_key(receiver):
    with pytest.raises(ChannelError) as raised:
        receiver.options.checked({receiver.key: ["hunter2"]})

    assert "hunter2" not in str(raised.value)
