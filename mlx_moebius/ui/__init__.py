"""A local web page: paint over the thing, look at the fill, download. Needs the extra `ui`.

Start it with `python -m mlx_moebius.ui`, or from a notebook with `mlx_moebius.ui.launch()`.
"""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it when it is imported

from mlx_moebius.ui.launch import launch

__all__ = ["launch"]
