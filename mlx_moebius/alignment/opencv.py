"""OpenCV, which is optional: imported when it is first used."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from mlx_moebius.errors import MoebiusError


@cache
def opencv() -> Any:
    """The module `cv2`. Raises MoebiusError where it is not installed."""
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MoebiusError(
            'filling from other shots needs an optional package: pip install "mlx-moebius[shots]"'
        ) from None
