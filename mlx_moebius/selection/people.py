"""People and other subjects of a photo, found by macOS itself: Apple's Vision framework, from macOS 14 on.

Elsewhere, and without the extra `people`, there is nothing like it, and it says so. No weights are downloaded.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.geometry import Mask

What = Literal["people", "subjects"]
REQUESTS: dict[What, str] = {
    "people": "VNGeneratePersonInstanceMaskRequest",
    "subjects": "VNGenerateForegroundInstanceMaskRequest",
}
"""What is looked for -> Vision's request: up to four people, or whatever stands out of the background."""
READ_ONLY = 1  # kCVPixelBufferLock_ReadOnly
SURE = 0.5  # of Vision's 0 to 1 for each pixel


def find_instances(rgb: NDArray[np.uint8], what: What) -> list[Mask]:
    """A mask, bool [H, W], for each person or subject in a photo uint8 [H, W, 3], the largest first.

    Raises MoebiusError where macOS cannot do it.
    """
    vision, foundation, quartz = _frameworks()
    if not hasattr(vision, REQUESTS[what]):
        raise MoebiusError("finding people and subjects needs macOS 14 or later")
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    content = buffer.getvalue()
    data = foundation.NSData.dataWithBytes_length_(content, len(content))
    handler = vision.VNImageRequestHandler.alloc().initWithData_options_(data, None)
    request = getattr(vision, REQUESTS[what]).alloc().init()
    done, error = handler.performRequests_error_([request], None)
    if not done:
        raise MoebiusError(f"macOS could not look for {what}: {error}")
    masks = []
    for observation in request.results() or ():
        instances = observation.allInstances()
        index = instances.firstIndex()
        for _ in range(int(instances.count())):
            one = foundation.NSIndexSet.indexSetWithIndex_(index)
            scaled, error = observation.generateScaledMaskForImageForInstances_fromRequestHandler_error_(
                one, handler, None
            )
            if scaled is None:
                raise MoebiusError(f"macOS could not outline {what}: {error}")
            masks.append(_pixels(quartz, scaled, rgb.shape[:2]) >= SURE)
            index = instances.indexGreaterThanIndex_(index)
    return sorted((mask for mask in masks if mask.any()), key=lambda mask: -int(mask.sum()))


def _pixels(quartz: Any, buffer: Any, size: tuple[int, ...]) -> NDArray[np.float32]:
    """A CVPixelBuffer of one float a pixel, as float32 [H, W] of the photo's size."""
    quartz.CVPixelBufferLockBaseAddress(buffer, READ_ONLY)
    try:
        height, width = quartz.CVPixelBufferGetHeight(buffer), quartz.CVPixelBufferGetWidth(buffer)
        row = quartz.CVPixelBufferGetBytesPerRow(buffer)
        content = bytes(quartz.CVPixelBufferGetBaseAddress(buffer).as_buffer(row * height))
    finally:
        quartz.CVPixelBufferUnlockBaseAddress(buffer, READ_ONLY)
    values = np.frombuffer(content, np.float32).reshape(height, row // 4)[:, :width]
    if (height, width) != tuple(size):
        values = np.asarray(Image.fromarray(values).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return values


def obstacle() -> str:
    """Why people cannot be found here, in a sentence; empty where they can."""
    try:
        _frameworks()
    except MoebiusError as error:
        return str(error)
    return ""


def _frameworks() -> tuple[Any, Any, Any]:
    """Vision, Foundation and Quartz, as pyobjc shows them."""
    if sys.platform != "darwin":
        raise MoebiusError("people and subjects are found by macOS itself, from version 14 on; this is another system")
    try:
        vision, foundation, quartz = map(importlib.import_module, ("Vision", "Foundation", "Quartz"))
    except ImportError:
        raise MoebiusError(
            'finding people and subjects needs an optional package: pip install "mlx-moebius[people]"'
        ) from None
    return vision, foundation, quartz
