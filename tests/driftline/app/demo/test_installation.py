from driftline.app.demo.installation import Installation


class Counting(Installation):
    """Counts how often the table is read."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.stored, self.count = 0, 0

    def capture_stats(self, endpoint: str) -> dict[str, int]:
        self.count += 1
        return {"requests": self.stored}


def test_the_table_is_not_counted_again_once_it_holds_all_that_was_sent() -> None:
    found = Counting()
    found.stored = 5

    counts = []
    for sent in (5, 5, 7, 7):
        found._count_again_s = 0.0
        counts.append((found.stored_requests(sent), found.count))

    assert counts == [(5, 1), (5, 1), (5, 2), (5, 3)]
