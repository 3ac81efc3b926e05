"""Moebius inpainting with MLX (arXiv 2606.19195)."""

from mlx_moebius.blas import BLAS  # first: it must act before mlx.core is imported

__all__ = ["BLAS"]
