"""What the pages of a Parquet file say that they unpack to, added up before one is unpacked.

A footer says it too, but is not compared with the pages: who lies in it has two thousand million
bytes unpacked of a few. Pages are unpacked to what their own headers say and no further, so these
are read: Thrift's compact form, of which all is skipped but two sizes.

References
----------
Apache Parquet, parquet.thrift (PageHeader); Thrift, doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow.parquet as pq

from driftline.formats.body_limits import BodyError
from driftline.formats.content_encoding import require_bound

# Each costs some microseconds; writers make one of a million bytes or twenty thousand values.
_MAX_PAGES = 20_000
_STOP, _TRUE, _FALSE, _BYTE, _INT16, _INT32, _INT64, _DOUBLE, _BINARY, _LIST, _SET, _, _STRUCT = (
    range(13)
)
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3
_MAX_DEPTH = 8
_MAX_NUMBER_BYTES = 10


def require_small_pages(content: bytes, metadata: pq.FileMetaData, chosen: Collection[str]) -> None:
    """Refuse a file whose pages unpack to more than a body may."""
    pages = unpacked = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for at in range(metadata.num_columns):
            column = row_group.column(at)
            if column.path_in_schema not in chosen:
                continue
            start = column.data_page_offset
            if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
                start = column.dictionary_page_offset
            end = start + column.total_compressed_size
            if not 0 <= start <= end <= len(content):
                raise BodyError("its columns are not within the file")
            while start < end:
                reader = _Header(content, start, end)
                unpacked += reader.unpacked_bytes
                start = reader.next_page
                pages += 1
                if pages > _MAX_PAGES:
                    raise BodyError(f"more than {_MAX_PAGES} pages")
            require_bound(unpacked, len(content))


class _Header:
    """One page's header: to how many bytes it unpacks, and where the next one begins."""

    def __init__(self, content: bytes, start: int, end: int) -> None:
        self._content = content
        self._at = start
        self._end = end
        sizes = {_UNPACKED_SIZE: -1, _PACKED_SIZE: -1}
        field = 0
        while (kind := self._byte()) != _STOP:
            field = field + (kind >> 4) if kind >> 4 else self._zigzag()
            if field in sizes and kind & 15 == _INT32:
                sizes[field] = self._zigzag()
            else:
                self._skip(kind & 15, 0)
        self.unpacked_bytes = sizes[_UNPACKED_SIZE]
        self.next_page = self._at + sizes[_PACKED_SIZE]
        if min(sizes.values()) < 0 or self.next_page > end:
            raise BodyError("a page does not say how long it is")

    def _byte(self) -> int:
        if self._at >= self._end:
            raise BodyError("a page is cut off")
        self._at += 1
        return self._content[self._at - 1]

    def _number(self) -> int:
        found = 0
        for place in range(_MAX_NUMBER_BYTES):
            byte = self._byte()
            found |= (byte & 127) << (7 * place)
            if byte < 128:
                return found
        raise BodyError("a page's header cannot be read")

    def _zigzag(self) -> int:
        found = self._number()
        return (found >> 1) ^ -(found & 1)

    def _skip(self, kind: int, depth: int, *, is_element: bool = False) -> None:
        """Pass over a value; truth values stand in their field's kind, but as a byte in a list."""
        if depth > _MAX_DEPTH:
            raise BodyError("a page's header is nested too deeply")
        if kind in (_TRUE, _FALSE):
            self._at += is_element
        elif kind == _BYTE:
            self._at += 1
        elif kind in (_INT16, _INT32, _INT64):
            self._number()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            length = self._number()
            self._at += length
        elif kind in (_LIST, _SET):
            self._skip_list(depth)
        elif kind == _STRUCT:
            while (inner := self._byte()) != _STOP:
                if not inner >> 4:
                    self._number()
                self._skip(inner & 15, depth + 1)
        else:
            raise BodyError("a page's header cannot be read")

    def _skip_list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._number()
        for _ in range(count):
            if self._at >= self._end:
                raise BodyError("a page is cut off")
            self._skip(head & 15, depth + 1, is_element=True)
