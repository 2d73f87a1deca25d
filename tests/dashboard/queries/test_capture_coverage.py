"""How much of what was answered is stored, as the pages of endpoints are told."""

from dataclasses import replace

import pytest

from driftline.capture.audit.note import write_note
from driftline.capture.audit.report import Coverage
from driftline.capture.spool.writer import SpoolWriter
from driftline.dashboard.address import parse
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.queries.stores import Stores
from tests.sinking import sink_all


def captured(tmp_path, times, **of):
    """Capture a request at each of the times; return the storage root."""
    root, writer = str(tmp_path / "root"), SpoolWriter(tmp_path / "spool")
    for at in times:
        writer.append({"endpoint": "orders", **of}, status=200, wall_ns=int(at.timestamp() * 1e9))
    writer.close()
    sink_all(root, tmp_path / "spool")
    return root


def test_what_was_lost_is_told_with_why_and_what_does_not_add_up(seeded, tmp_path):
    root, spool = str(tmp_path / "root"), tmp_path / "spool"
    writer = SpoolWriter(spool)
    at = int(seeded.now().timestamp() * 1e9)
    for _ in range(19):
        writer.append({"endpoint": "orders"}, status=200, wall_ns=at)
    writer.count_drop("full", "orders")
    writer.close()
    sink_all(root, spool)
    stores = Stores(seeded.engine, root, seeded.now)
    whole = stores.endpoint(parse("/endpoints/orders/traffic"))
    write_note(root, {"missing_by_endpoint": {"orders": 2}, "doubled_by_endpoint": {"orders": 1}})
    broken = Stores(seeded.engine, root, seeded.now).endpoint(parse("/endpoints/orders/traffic"))

    stats = whole.stats
    assert (stats.overall.dropped, whole.unaccounted) == (1, 0)
    assert [(gap.reason, gap.records) for gap in stats.gaps] == [("full", 1)]
    assert whole.line.coverage.ratio == 0.95
    assert [one.stored for one in whole.traffic.hours.values()] == [19]
    assert "19 requests captured in 1 hour, none refused or failed, none lost" in str(
        endpoint_page.page(whole)
    )
    text = str(endpoint_page.page(broken))
    # 19 of 22: what the audit finds nowhere is lost, too.
    assert "86.4% stored; full 1; 3 unaccounted for" in text
    found = replace(stats, gaps=(), dropped={}, faults=1, overall=Coverage(19, 0, undecodable=1))
    text = str(endpoint_page.page(replace(whole, stats=found)))
    # 18 of 19.
    assert "94.7% stored; 1 not decoded (decoder fault)" in text
    (gap,) = stats.gaps
    unknown = replace(stats, gaps=(replace(gap, reason="power_loss", records=None),))
    text = str(endpoint_page.page(replace(whole, stats=unknown)))
    assert "power_loss, how many is not known" in text
    assert "power_loss 0" not in text


def test_the_last_audit_says_what_was_captured(seeded, tmp_path):
    root = str(tmp_path)
    counted = {"requests": {"flights": 99}, "dropped": {"flights": 1}}
    write_note(root, counted)

    (line,) = Stores(seeded.engine, root, seeded.now).overview().shown

    assert line.coverage == Coverage(99, 1)


@pytest.mark.parametrize(("role", "sees"), [("viewer", False), ("operator", False),
                                            ("analyst", True), ("admin", True)])  # fmt: skip
def test_clients_as_a_header_names_them_take_an_analyst(tmp_path, seeded, as_role, role, sees):
    of = {"variant": "blue", "headers": "user-agent:Jane.Doe/3"}
    root = captured(tmp_path, [seeded.now()], **of)
    as_role(role)

    view = Stores(seeded.engine, root, seeded.now).endpoint(parse("/endpoints/orders/traffic"))
    text = str(endpoint_page.page(view))

    assert ("Jane.Doe" in text, bool(view.traffic.clients)) == (sees, sees)
    assert "blue" in text
    assert ("Clients are not listed. This takes the role analyst; ana has" in text) != sees
