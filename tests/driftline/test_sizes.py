"""Sizes in bytes as people read them."""

from driftline.sizes import bytes_text


def test_sizes_have_binary_units() -> None:
    shown = [bytes_text(size) for size in (0, 1023, 1024, 64_200_000, 3 * 2**40)]

    assert shown == ["0 B", "1023 B", "1.0 KiB", "61.2 MiB", "3.0 TiB"]
