"""Selecting instead of painting: an object from a box, a wire from a click.

    from mlx_moebius.selection import select

    mask = select(mlx_moebius.read_photo("photo.jpg"), ["box:100,50,200,300"])

No model is needed; OpenCV (the extra `select`) is. `request.py` says what can be selected and how that is written.
"""

from mlx_moebius.selection.dust import find_spots
from mlx_moebius.selection.object import ObjectCut, select_object
from mlx_moebius.selection.request import Selection, parse, select
from mlx_moebius.selection.sensor import sensor_dust
from mlx_moebius.selection.spot import Spot
from mlx_moebius.selection.wire import Wire, follow_wire

__all__ = [
    "ObjectCut",
    "Selection",
    "Spot",
    "Wire",
    "find_spots",
    "follow_wire",
    "parse",
    "select",
    "select_object",
    "sensor_dust",
]
