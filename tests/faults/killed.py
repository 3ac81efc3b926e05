"""The command line in a process that really is killed: `python -m tests.faults.killed FOLDER WRITE SIGNAL ARGS...`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from mlx_moebius.generate import main
from tests.faults.injectors import killed_at

if __name__ == "__main__":
    folder, write, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sys.argv = [sys.argv[0], *sys.argv[4:]]
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)  # whatever was inherited, such as nohup's
    with killed_at(Path(folder), write, lambda: os.kill(os.getpid(), number)):
        main()
