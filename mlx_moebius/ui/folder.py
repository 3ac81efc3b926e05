"""The server's folder of temporary files. It is removed when the server ends; after a kill, when the next one starts.

A folder that is in use is locked. The system drops the lock when the process ends, in whatever way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

PREFIX = "moebius-page-"
LOCK = "in-use"


class TemporaryFolder:
    """A new folder, locked until `close`. Folders of servers that were killed are removed first."""

    def __init__(self) -> None:
        clean_up(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def clean_up(folder: Path) -> None:
    """Remove folders that killed servers of this user left in `folder`."""
    for left in folder.glob(f"{PREFIX}*"):
        try:
            lock = os.open(left / LOCK, os.O_RDWR)
        except OSError:  # another user's, or one that is being made or removed at this moment
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
