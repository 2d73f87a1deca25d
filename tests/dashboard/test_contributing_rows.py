"""The rows behind a violation, as a monitor's page lists them."""

import re

from driftline.dashboard.pages.windows import row_list
from driftline.dashboard.queries.stores import Stores


def test_rows_are_told_apart_by_the_ends_of_their_event_ids(seeded):
    stores = Stores(seeded.engine, seeded.root, seeded.now)
    view = stores.monitor(seeded.monitor, "20131118T000000Z", None)

    drawn = str(row_list(seeded.monitor, view.run, view.rows))

    assert len({*view.rows.events}) > 1
    shown = re.findall(r"Span\(children='…([0-9a-f]{12})', title='([^']*)'", drawn)
    assert [whole for _, whole in shown] == [*view.rows.events]
    assert all(whole.endswith(end) for end, whole in shown)
