"""PyTorch checkpoints to model folders, without PyTorch.

Begin with `folder`, a conversion from start to end; `torch_file` reads checkpoints without executing them, `mapping`
knows the names on both sides. May import hub and networks.

Installed as `mlx_moebius.convert`; in a checkout `convert/` is a top-level folder, so `python -m convert` works there
too.
"""
