"""How far a run reaches beyond what is painted: the grown mask, and the rim over which a fill may fade in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from mlx_moebius.inpainting.crops import plan
from mlx_moebius.inpainting.stitch import feather, feather_width
from mlx_moebius.photos.geometry import Mask, around, slices
from mlx_moebius.photos.growth import grow
from mlx_moebius.ui.api import Api
from mlx_moebius.ui.rest_api import value_of
from mlx_moebius.ui.runs import Request
from mlx_moebius.ui.tiles import png
from mlx_moebius.ui.uploads import built

FADE = 200  # of 255: the rim is less than the mask, whatever its share


def margin(mask: Mask, size: int, context: float) -> NDArray[np.uint8]:
    """A grown mask [H, W] as 255, and round it shares of the fill as 0 to 200, uint8 [H, W].

    `size` is that of the network's squares. Where the photo's own detail is grown, nothing fades.
    """
    height, width = mask.shape
    shown: NDArray[Any] = np.zeros(mask.shape, np.uint8)
    for crop in plan(mask, size, context):
        far = feather_width(crop)
        part = crop.reach(width, height)
        outer = around(part, far, width, height)
        weights = feather(mask[slices(outer)], far)[slices(part, outer[:2])]
        shown[slices(part)] = np.maximum(shown[slices(part)], np.ceil(FADE * weights).astype(np.uint8))
    shown[mask] = 255
    return shown


class MarginApi:
    """`GET /api/photos/{id}/grown`: the margin of what is painted, as a PNG."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def routes(self) -> list[Route]:
        """The address and its handler."""
        return [Route("/api/photos/{id}/grown", self.grown)]

    def grown(self, request: Asked) -> Response:
        """The margin with the settings that the address gives."""
        sessions = self.api.sessions
        given = {name: value_of(text) for name, text in request.query_params.items()}
        wanted = built(Request, {"model": sessions.model} | given)
        mask = grow(self.api.picture(request).mask(), wanted.dilate)
        shown = margin(mask, sessions.config(wanted.model).image_size, wanted.context)
        return Response(png(Image.fromarray(shown)), media_type="image/png")
