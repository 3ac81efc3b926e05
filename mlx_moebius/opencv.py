"""OpenCV, which is optional: imported when something is selected, or filled from another shot."""

from __future__ import annotations

import importlib
from typing import Any

from mlx_moebius.errors import MoebiusError


def opencv() -> Any:
    """The module `cv2`. Raises MoebiusError where the extras `select` and `shots`, which bring it, are missing."""
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MoebiusError("this needs an optional package: pip install opencv-python-headless") from None
