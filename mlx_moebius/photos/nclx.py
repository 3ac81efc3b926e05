"""Colours given by numbers (nclx: ITU-T H.273) in HEIC and AVIF, as an equivalent ICC profile.

The encoders used here write other numbers, and other formats have no place for them. Nearly all take a profile.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.errors import MoebiusError

PRIMARIES = {  # x, y of red, green, blue and white (H.273, table 2)
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    4: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), (0.310, 0.316)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
}
BT709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
TRANSFERS: dict[int, tuple[float, ...]] = {  # ICC's parametric curve: gamma alone, or gamma, a, b, c, d
    **dict.fromkeys((1, 6, 14, 15), BT709),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
}
HDR = {16: "PQ", 18: "HLG"}
UNKNOWN = 2
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile(primaries: int, transfer: int) -> bytes | None:
    """The equivalent ICC profile. Empty if viewers show the same without one; None for unknown numbers.

    Raises MoebiusError for HDR, whose curve would lose its highlights at 8 bits a channel.
    """
    if transfer in HDR:
        raise MoebiusError(
            f"it is an HDR picture ({HDR[transfer]} curve), which 8 bits a channel cannot hold: export it as SDR"
        )
    if primaries in (1, UNKNOWN) and transfer in (1, 6, 13, 14, 15, UNKNOWN):
        return b""
    primaries, transfer = (1 if primaries == UNKNOWN else primaries), (13 if transfer == UNKNOWN else transfer)
    if primaries not in PRIMARIES or transfer not in TRANSFERS:
        return None
    name = f"Colour primaries {primaries}, transfer {transfer}".encode("utf-16-be")
    text = b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(name), 28) + name
    numbers = TRANSFERS[transfer]
    curve = b"para" + struct.pack(">4xHxx", 0 if len(numbers) == 1 else 3) + _fixed(*numbers)
    columns, adaptation = _to_d50(primaries)
    tags = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50)}
    tags |= {
        colour + b"XYZ": b"XYZ \0\0\0\0" + _fixed(*column)
        for colour, column in zip((b"r", b"g", b"b"), columns.T, strict=True)
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags[b"chad"] = b"sf32\0\0\0\0" + _fixed(*adaptation.ravel())
    return _assembled(tags)


def numbers_in(head: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of a HEIF container's first colour box of that kind, None without one."""
    at = head.find(b"colrnclx")
    return struct.unpack_from(">HH", head, at + 8) if 0 <= at <= len(head) - 12 else None


def _to_d50(primaries: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix [3, 3] from linear RGB to XYZ under ICC's white, and the adaptation [3, 3] in it (Bradford)."""
    *colours, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in PRIMARIES[primaries])
    columns = np.stack(colours, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    cones = (BRADFORD @ D50) / (BRADFORD @ white)
    adaptation = np.linalg.solve(BRADFORD, cones[:, None] * BRADFORD)
    return adaptation @ columns, adaptation


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 4.3, display, RGB to XYZ) of these tags."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0" * 4, 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(*D50)
    return head + bytes(128 - len(head)) + table + body
