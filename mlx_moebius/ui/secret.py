"""The token of a page that only this computer reaches. It is the same at every start, and only the user can read it.

So a page that is still open in a browser goes on when the server is started again.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

NAME = "page-token"
TOKEN = re.compile(r"[\w-]{16,64}")


def default_folder() -> Path:
    """Where the token is kept: the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlx-moebius"


def kept_token(folder: Path | None = None) -> str:
    """The token in `folder`, made at its first use; if nothing can be kept there, a token for this time only."""
    token = secrets.token_urlsafe(16)
    try:
        file = (folder or default_folder()) / NAME
        file.parent.mkdir(parents=True, exist_ok=True)
        if (found := _read(file)) is not None:
            return found
        file.unlink(missing_ok=True)  # damaged, or readable for others
        new = file.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as target:
                target.write(token)
            with suppress(FileExistsError):  # another page that is being started was faster
                os.link(new, file)
        finally:
            new.unlink(missing_ok=True)
        return _read(file) or token
    except (OSError, RuntimeError):  # a read-only home, or none at all
        return token


def _read(file: Path) -> str | None:
    """The token in the file; None if there is none, or if another account could know it."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # it is not there, or a link
        return None
    with os.fdopen(handle) as source:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return None
        text = source.read(100)
    return text if TOKEN.fullmatch(text) else None
