"""The other shots of a folder's photos: which they are, read once and kept for a while, their features for longer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from mlx_moebius.alignment.features import Features
from mlx_moebius.alignment.neighbours import neighbours
from mlx_moebius.alignment.shot import Shot, features_of, read_shot, remember
from mlx_moebius.alignment.sources import files_of, same_file
from mlx_moebius.errors import MoebiusError
from mlx_moebius.files import sha256_once
from mlx_moebius.photos.pairing import Pairing
from mlx_moebius.photos.photo import Photo

KEPT = 6  # shots in memory: a photo's neighbours are mostly those of the one before it


class Others:
    """What photos of a folder may be filled from: `given` files and folders, and with `by_time` their neighbours.

    `find` finds the folder's photos and their masks, which say what of a neighbour is not taken. May be used from
    several threads.
    """

    def __init__(
        self, folder: Path, find: Callable[[], Pairing], given: Sequence[Path] = (), by_time: bool = False
    ) -> None:
        self.given, self.by_time = tuple(given), by_time
        self._folder, self._find = folder, find
        self._photos: dict[Path, Path | None] = {}
        self._shots: OrderedDict[Path, Shot] = OrderedDict()
        self._features: dict[Path, Features] = {}
        self._lock = threading.RLock()

    def files(self, name: Path) -> list[tuple[Path, Path | None]]:
        """The shots for the photo of this name in the folder, each with its mask, if it has one."""
        path = self._folder / name
        found = files_of([shot for shot in self.given if not same_file(shot, path)], path)  # one for all may be it
        with self._lock:
            if name not in self._photos:
                self._photos = self._looked_up()
            if self.by_time:
                beside = [self._folder / shot for shot in self._photos if shot.parent == name.parent and shot != name]
                found += neighbours(path, beside)
            masks = {(self._folder / shot).resolve(): mask for shot, mask in self._photos.items()}
        return [(shot, masks.get(shot.resolve())) for shot in dict.fromkeys(found)]

    def _looked_up(self) -> dict[Path, Path | None]:
        try:
            pairing = self._find()
        except MoebiusError:  # another photo may be in the making
            return {}
        with_mask = {pair.name: pair.mask if isinstance(pair.mask, Path) else None for pair in pairing.pairs}
        return with_mask | dict.fromkeys(pairing.without_mask)

    def hashes(self, files: Sequence[tuple[Path, Path | None]]) -> list[list[str | None]]:
        """The SHA-256 of each shot's file and mask: what decides whether an earlier fill still holds."""
        return [[sha256_once(path), sha256_once(mask) if mask else None] for path, mask in files]

    def read(self, files: Sequence[tuple[Path, Path | None]], name: Path, photo: Photo) -> list[Shot]:
        """The shots of these files, and the photo's own features, from memory where they are there.

        A neighbour that cannot be read is left out; for one that was named, MoebiusError is raised.
        """
        shots = []
        with self._lock:
            path = self._folder / name
            if path in self._features:
                remember(photo, self._features[path])
            elif files:
                self._features[path] = features_of(photo)
            for path, mask in files:
                try:
                    shots.append(self._read(path, mask))
                except MoebiusError:
                    if path in self.given:
                        raise
        return shots

    def _read(self, path: Path, mask: Path | None) -> Shot:
        shot = self._shots.pop(path, None) or read_shot(path, mask)
        if path in self._features:
            remember(shot.photo, self._features[path])
        self._features[path] = features_of(shot.photo)
        self._shots[path] = shot
        while len(self._shots) > KEPT:
            self._shots.popitem(last=False)
        return shot
