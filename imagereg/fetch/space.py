"""Room on the disk: taken before the bytes come, filled early, given back for zeros.

Python's own call makes the file longer, and writes zeros where a file system cannot
reserve; both would be wrong for a file whose length says how far it is.

Source: contract compute-fetch C-11; fallocate(2), sync_file_range(2).
"""

import ctypes
import errno
import os

_KEEP_SIZE, _PUNCH_HOLE = 1, 2

#: File systems and kernels that cannot; nothing is lost then but foresight.
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int
_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = (
    *(ctypes.c_int, ctypes.c_int64, ctypes.c_int64),
    ctypes.c_uint,
)
_START_WRITING = 2


def reserve(descriptor: int, start: int, count: int) -> bool:
    """Reserve room for ``count`` bytes from ``start`` on; the length stays.

    Returns:
        Whether the file system can do that.

    Raises:
        OSError: there is no room.
    """
    return count > 0 and _call(descriptor, _KEEP_SIZE, start, count)


def release(descriptor: int, start: int, count: int) -> None:
    """Give room back that lies before the end of the file: it reads as zeros."""
    if count > 0:
        _call(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, count)


def start_writing(descriptor: int, start: int, count: int) -> None:
    """Have the disk begin with bytes that are there already; nobody waits for it.

    What it cannot write is told by fsync in the end, as if this had not been asked.
    """
    _sync_file_range(descriptor, start, count, _START_WRITING)


def _call(descriptor: int, mode: int, start: int, count: int) -> bool:
    while _fallocate(descriptor, mode, start, count):
        number = ctypes.get_errno()
        if number in _CANNOT:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True
