"""PyTorch checkpoints to model folders, without PyTorch.

Installed as `mlx_moebius.convert`; in a checkout `convert/` is a top-level folder, so
`python -m convert` works there too.
"""
