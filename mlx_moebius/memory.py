"""How much memory there is: one answer for photos and networks."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

from mlx_moebius.errors import MoebiusError

ADDRESSES = 5 * 2**28  # bytes; measured on Linux: the bundled model hangs with 0.86 GB and works with 1.05
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available() -> int:
    """Bytes that the machine has, or what a container (cgroup) or `ulimit -v` leaves to this process."""
    return within_limits(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def within_limits(size: int) -> int:
    """The least of `size` and the limits of this process, in bytes."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY:
        size = min(size, allowed)
    return min([size, *_container_limits()])


def _container_limits() -> list[int]:
    """The memory limits in bytes of this process's cgroup and of those that hold it (Linux; version 1 and 2)."""
    limits = []
    with suppress(OSError, ValueError):
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root = CGROUPS / controllers if controllers else CGROUPS
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                for name in ("memory.max", "memory.limit_in_bytes"):
                    with suppress(OSError, ValueError):  # "max": no limit
                        limits.append(int((folder / name).read_text()))
                if folder == root:
                    break
    return limits


def check_address_space() -> None:
    """Raise MoebiusError where a limit (`ulimit -v`) leaves too little: MLX then hangs when it compiles kernels."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and allowed < ADDRESSES:
        raise MoebiusError(
            f"this process may address {allowed / 2**30:.2f} GB and needs {ADDRESSES / 2**30:.2f}: raise `ulimit -v`"
        )


def parse_size(text: str) -> int:
    """The number of bytes in a text such as "8GB", "900MB" or "8" (GB). Raises MoebiusError."""
    number = text.strip().upper().removesuffix("B")
    unit = {"G": 2**30, "M": 2**20}.get(number[-1:], 0)
    try:
        size = float(number[:-1] if unit else number) * (unit or 2**30)
    except ValueError:
        size = 0
    if not 0 < size < 2**60:
        raise MoebiusError(f'"{text}" is not a size such as 8GB or 900MB')
    return int(size)
