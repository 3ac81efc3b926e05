"""Moebius inpainting with MLX (arXiv 2606.19195).

from mlx_moebius import MoebiusPipeline
pipe = MoebiusPipeline.from_pretrained("nano")
filled = pipe(image, mask, num_steps=20, seed=0)  # PIL in, PIL out
"""

import mlx_moebius.startup  # isort: skip  # noqa: F401  # first: it may change where Python looks for code
from mlx_moebius.runtime import BLAS  # isort: skip  # it must act before mlx.core is imported
from mlx_moebius.errors import MoebiusError
from mlx_moebius.inpainting.pipeline import MoebiusPipeline
from mlx_moebius.version import __version__

__all__ = ["BLAS", "MoebiusError", "MoebiusPipeline", "__version__"]
