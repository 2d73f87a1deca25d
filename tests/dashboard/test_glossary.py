"""The pages use the field's words: none of those that were ours before."""

import re

import pytest

from driftline.dashboard.address import parse
from driftline.dashboard.app import render
from driftline.dashboard.queries.stores import Stores
from tests.dashboard.all_pages import PAGES
from tests.dashboard.policed_seed import texts

# By what the field says instead.
BANNED = re.compile(
    r"""\b(
    blame\w* | culprits? | guilty                         # root cause, contributing rows
    | joint                                               # multivariate
    | commissioning | (?<!monitor\s)commission | grounds  # warm-up
    | marks? | marked                                     # annotation, watermark, pattern
    | decider | surprise | plausibility | extent          # drift test
    | (?<!ground\s)(?<!driftline\s)truth                  # labels
    | letters? | dispatch | settling | desk | fate        # notification, delivery
    | overview                                            # Fleet
    | tryout | mends? | workshop | holdings               # test, fix, storage
    | (the\ rows\ that\ did\ it) | (what\ moved) | (messages\ lately)
    | verdicts? | told | nobody | how\ manieth
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)


@pytest.mark.parametrize("installation", PAGES)
def test_no_page_holds_a_banned_word(installation, request):
    found = request.getfixturevalue({"policed": "policed_site"}.get(installation, installation))
    stores = Stores(found.engine, found.root, found.now)

    said = {}
    for name, path in PAGES[installation].items():
        asked, _, query = path.partition("?")
        text = texts(render(stores, parse(asked, query)))
        for word in BANNED.finditer(text):
            said.setdefault(word.group(), []).append(
                (name, text[word.start() - 50 : word.end() + 30])
            )
    assert said == {}
