"""A picture that a Python program shows on the page, and what becomes of it there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.inpainting.pictures import Picture as AnyPicture
from mlx_moebius.inpainting.pictures import as_photo
from mlx_moebius.photos.photo import to_image
from mlx_moebius.photos.save import write_photo
from mlx_moebius.ui.pictures import Picture
from mlx_moebius.ui.sessions import Sessions

NAME = "picture.png"


class Handed:
    """A picture on the page. `fill` and `mask` are what they are at the moment. Raises MoebiusError for no picture."""

    def __init__(self, sessions: Sessions, picture: AnyPicture) -> None:
        photo = as_photo(picture)
        folder = sessions.shared.new_folder()
        write_photo(photo, folder / NAME)
        self._picture = Picture(folder / NAME, folder)
        sessions.shared.add(self._picture)

    @property
    def id(self) -> str:
        """Its name on the page."""
        return self._picture.id

    @property
    def fill(self) -> Image.Image:
        """The picture as the page shows it now: filled, or as it was handed over."""
        return to_image(self._picture.photo().rgb(), "RGB")

    @property
    def mask(self) -> NDArray[np.bool_]:
        """What was filled, bool [H, W] of the size of `fill`; before the first fill, what is painted."""
        picture = self._picture
        with picture.lock:
            version = picture.version()
            if version.made_from is None:
                return picture.mask()
            width, height = version.size
            filled = np.zeros((height, width), bool)
            left = top = 0
            while version.made_from is not None:
                left, top = left + version.offset[0], top + version.offset[1]
                part = picture.mask(version.painted, version.made_from)
                filled[top : top + part.shape[0], left : left + part.shape[1]] |= part
                version = picture.version(version.made_from)
            return filled
