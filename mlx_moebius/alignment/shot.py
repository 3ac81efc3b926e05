"""Another shot of a photo's scene: its pixels, what its own mask hides, and its features, found once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.alignment.features import Features, find_features
from mlx_moebius.files import sha256
from mlx_moebius.opencv import opencv
from mlx_moebius.photos.geometry import Mask
from mlx_moebius.photos.mask_files import load_mask
from mlx_moebius.photos.pairing import mask_beside
from mlx_moebius.photos.photo import Photo, read_photo


@dataclass(eq=False)
class Shot:
    """A shot to take from. `hidden`, bool [H, W], is what its own mask covers: never taken; None without a mask.

    `name`, `sha256` and `mask_sha256` say which file it is, for the record.
    """

    photo: Photo
    name: str
    sha256: str | None = None
    hidden: Mask | None = field(default=None, repr=False)
    mask_sha256: str | None = None

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """Its colours in 8 bits, [H, W, 3]."""
        return self.photo.rgb()

    @property
    def features(self) -> Features:
        """Its features, in all of the picture."""
        return features_of(self.photo)


_known: WeakKeyDictionary[Photo, Features] = WeakKeyDictionary()


def features_of(photo: Photo) -> Features:
    """The features of a photo, which are found once."""
    found = _known.get(photo)
    if found is None:
        found = _known[photo] = find_features(photo.rgb())
    return found


def remember(photo: Photo, features: Features) -> None:
    """Say what a photo's features are: they were found when the same file was read before."""
    _known[photo] = features


def read_shot(path: Path, mask: Path | None = None) -> Shot:
    """Read another shot, and its mask: the one that is given, or else `NAME_mask.png` beside it.

    Raises MoebiusError for what cannot be read, and where OpenCV is missing.
    """
    opencv()
    photo = read_photo(path)
    found = mask or mask_beside(path)
    hidden = load_mask(photo, [found])[0] if found else None
    return Shot(photo, path.name, sha256(path), hidden, sha256(found) if found else None)
