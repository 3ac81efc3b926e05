"""How much memory there is: one answer for photos and networks."""

from __future__ import annotations

import os
import resource

from mlx_moebius.errors import MoebiusError

ADDRESSES = 5 * 2**28  # bytes; measured on Linux: the bundled model hangs with 0.86 GB and works with 1.05


def available() -> int:
    """Bytes that the machine has, or that a limit (`ulimit -v`) leaves to this process."""
    return within_limits(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def within_limits(size: int) -> int:
    """`size`, or what a limit leaves of it."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return size if allowed == resource.RLIM_INFINITY else min(size, allowed)


def check_address_space() -> None:
    """Raise MoebiusError where a limit (`ulimit -v`) leaves too little: MLX then hangs when it compiles kernels."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and allowed < ADDRESSES:
        raise MoebiusError(
            f"this process may address {allowed / 2**30:.2f} GB and needs {ADDRESSES / 2**30:.2f}: raise `ulimit -v`"
        )


def parse_size(text: str) -> int:
    """Bytes from "8GB", "900MB" or "8" (GB). Raises MoebiusError."""
    number = text.strip().upper().removesuffix("B")
    unit = {"G": 2**30, "M": 2**20}.get(number[-1:], 0)
    try:
        size = float(number[:-1] if unit else number) * (unit or 2**30)
    except ValueError:
        size = 0
    if not 0 < size < 2**60:
        raise MoebiusError(f'"{text}" is not a size such as 8GB or 900MB')
    return int(size)
