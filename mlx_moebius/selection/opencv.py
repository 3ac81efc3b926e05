"""OpenCV, with which all of this package computes: an optional extra, imported when something is selected."""

from __future__ import annotations

import importlib
from typing import Any

from mlx_moebius.errors import MoebiusError


def opencv() -> Any:
    """The module `cv2`. Raises MoebiusError where the extra `select` is missing."""
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MoebiusError('selecting needs an optional package, OpenCV: pip install "mlx-moebius[select]"') from None
