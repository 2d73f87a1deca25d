"""No sentence on a resource quotes a secret."""

import pytest
from pydantic import ValidationError

from driftline.alerts.errors import ChannelError
from driftline.alerts.notify.receivers.table import RECEIVERS
from driftline.serving.resources.specs import ChannelSpec


def test_no_error_of_what_may_hold_a_secret_quotes_it():
    with pytest.raises(ValidationError) as raised:
        ChannelSpec.model_validate({"secret": ["hunter2"], "authorization": ["hunter2"]})

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("receiver", [one for one in RECEIVERS.values() if one.key])
def test_no_error_quotes_a_services_key(receiver):
    with pytest.raises(ChannelError) as raised:
        receiver.options.checked({receiver.key: ["hunter2"]})

    assert "hunter2" not in str(raised.value)
