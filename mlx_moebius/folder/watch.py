"""Fill photos as they arrive in a folder, from a tethered camera or another program's export."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mlx_moebius.folder.batch import Job
from mlx_moebius.folder.report import Mode
from mlx_moebius.folder.run import INTERRUPTED, fill_folder
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.photos.pairing import NoPhotosError, Pair, Pairing

INTERVAL = 1.0  # seconds between two looks

Stamp = tuple[tuple[int, int], ...]


def pause() -> None:
    """Wait until the next look at the folder."""
    time.sleep(INTERVAL)


def watch(pipeline: MoebiusPipeline, job: Job, find: Callable[[], Pairing], mode: Mode) -> int:
    """Fill what arrives until Ctrl-C. Returns the exit code: 1 if a photo failed, 130 if one was under way.

    `find` looks for photos and masks. A photo is filled once neither its file nor its mask has changed between two
    looks: then they are complete. One that failed is tried again when one of the two has changed.
    """
    seen: dict[Pair, Stamp] = {}
    tried: dict[Pair, Stamp] = {}
    failed = False
    try:
        while True:
            try:
                found = find()
            except NoPhotosError:
                found = Pairing([], [])
            before, seen = seen, {pair: _stamp(pair, job.folder) for pair in found.pairs}
            ready = [
                pair
                for pair in found.pairs
                if before.get(pair) == (stamp := seen[pair]) and stamp not in ((), tried.get(pair))
            ]
            if ready:
                code = fill_folder(pipeline, job, Pairing(ready, []), force=False, mode=mode, reviewed=found)
                if code == INTERRUPTED:
                    return code
                failed |= code != 0
                tried |= {pair: seen[pair] for pair in ready}
            pause()
    except KeyboardInterrupt:
        return 1 if failed else 0


def _stamp(pair: Pair, folder: Path) -> Stamp:
    """Size and time of a photo and its mask; they change while a file is written."""
    files = [folder / pair.name, *([pair.mask] if isinstance(pair.mask, Path) else [])]
    try:
        found = [file.stat() for file in files]
    except OSError:  # gone again
        return ()
    return tuple((file.st_size, file.st_mtime_ns) for file in found)
