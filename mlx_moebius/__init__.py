"""Moebius inpainting with MLX (arXiv 2606.19195)."""
