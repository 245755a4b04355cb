"""Byte ranges of image data.  Source: RFC 9110 section 14; contract api-images 16."""

import re
from dataclasses import dataclass

from imagereg.errors import Invalid, MultipleRanges, RangeNotSatisfiable

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)", re.ASCII)

#: More digits than any offset has; Python itself refuses to read much longer ones.
MAX_DIGITS = 20


@dataclass(frozen=True, slots=True)
class StagedRange:
    """Which bytes of an image a body holds.

    Attributes:
        start: the offset of the first.
        stop: the offset behind the last.
        total: the size of the whole; None if the client does not know it yet.
    """

    start: int
    stop: int
    total: int | None

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self.stop - self.start


def parse_staged_range(header: str) -> StagedRange:
    """Return the bytes that the ``Content-Range`` of an upload tells of.

    The total may be ``*`` as long as the client does not know it; one range at least
    must name it.

    Raises:
        Invalid: malformed, or not inside the total.

    Source: RFC 9110, section 14.4; ruling S-14.
    """
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or max(map(len, match.groups())) > MAX_DIGITS:
        raise Invalid("`Content-Range` must be `bytes FIRST-LAST/TOTAL`")
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first > last or (total is not None and last >= total):
        message = f"`Content-Range: {header}` is not a range within its total"
        raise Invalid(message)
    return StagedRange(first, last + 1, total)


def parse_range(header: str, size_bytes: int) -> range:
    """Return the bytes a Range header asks for, within a blob of ``size_bytes``.

    One range only; a suffix (``bytes=-500``) counts from the end.

    Raises:
        MultipleRanges: there is more than one.
        RangeNotSatisfiable: not a byte range, or none of its bytes exists.

    Source: RFC 9110, section 14.1.2; ruling D-8.
    """
    text = header.replace(" ", "")
    if "," in text:
        raise MultipleRanges("requests with multiple ranges are not supported")
    match = _RANGE.fullmatch(text)
    if match is None or max(map(len, match.groups())) > MAX_DIGITS:
        raise _unsatisfiable(header, size_bytes)
    first, last = match.groups()
    if first:
        start = int(first)
        stop = min(int(last) + 1, size_bytes) if last else size_bytes
    else:
        start = max(size_bytes - int(last or 0), 0)
        stop = size_bytes
    if start >= stop or (last and first and int(last) < int(first)):
        raise _unsatisfiable(header, size_bytes)
    return range(start, stop)


def parse_content_range(header: str, size_bytes: int) -> range:
    """Return the bytes that a legacy ``Content-Range`` request header asks for.

    Raises:
        RangeNotSatisfiable: malformed, or not inside the image.

    Source: contract api-images 16.
    """
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None or max(map(len, match.groups())) > MAX_DIGITS:
        raise _unsatisfiable(header, size_bytes)
    first, last = int(match[1]), int(match[2])
    if first > last or first >= size_bytes or last >= size_bytes:
        raise _unsatisfiable(header, size_bytes)
    if match[3] != "*" and int(match[3]) != size_bytes:
        raise _unsatisfiable(header, size_bytes)
    return range(first, last + 1)


def _unsatisfiable(header: str, size_bytes: int) -> RangeNotSatisfiable:
    last = max(size_bytes - 1, 0)
    message = f"range `{header}` cannot be satisfied: it must start within 0-{last}"
    return RangeNotSatisfiable(message, size_bytes)
