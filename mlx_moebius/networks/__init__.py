"""Moebius itself in MLX: U-Net, VAE, sampler, weights, and what they cost. Tensors in, tensors out; no files of users.

Begin with `diffusion`, then `unet`; `kernels` holds what differs by back end. May import errors, files, memory,
runtime and schema.
"""
