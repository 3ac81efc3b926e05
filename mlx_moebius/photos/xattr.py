"""Tags that the file system keeps for a file: the Finder's on a Mac, a desktop's on Linux.

They are extended attributes, read and written by the C library, since Python itself has no calls for them on a Mac.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

KIND = b"com.apple.metadata:" if sys.platform == "darwin" else b"user."
"""Prefix of the tags' names. On a Mac, icons and previews, which would show the photo as it was, have other names."""
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"icns")
MOST = 1 << 20  # bytes of names, or of one value

# A Mac's calls have a position and options behind the parameters that both systems have (getxattr(2), setxattr(2)).
_BEHIND_GET, _BEHIND_LIST, _BEHIND_SET = ((0, 0), (0,), (0, 0)) if sys.platform == "darwin" else ((), (), (0,))
_LIBRARY = ctypes.CDLL(None, use_errno=True)
for _call in (_LIBRARY.listxattr, _LIBRARY.getxattr):
    _call.restype = ctypes.c_ssize_t


def copy_tags(source: Path, target: Path) -> None:
    """Give `target` the tags of `source`, except values that hold a picture.

    Raises OSError, also where a file system has no tags.
    """
    path, to = os.fsencode(source), os.fsencode(target)
    for name in _read(_LIBRARY.listxattr, path, *_BEHIND_LIST).split(b"\0"):
        if name.startswith(KIND):
            value = _read(_LIBRARY.getxattr, path, name, *_BEHIND_GET)
            if not any(start in value for start in PICTURES):
                _checked(_LIBRARY.setxattr(to, name, value, ctypes.c_size_t(len(value)), *_BEHIND_SET))


def _read(call: Any, path: bytes, *others: Any) -> bytes:
    """What a call writes to its buffer: the parameter between the names and the numbers in `others`."""
    names = [value for value in others if isinstance(value, bytes)]
    buffer = ctypes.create_string_buffer(MOST)
    length = _checked(call(path, *names, buffer, ctypes.c_size_t(MOST), *others[len(names) :]))
    return buffer.raw[:length]


def _checked(result: int) -> int:
    """A call's result. Raises OSError when it failed."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
