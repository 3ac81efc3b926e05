"""Draw the example: a landscape with things to remove, and the mask that covers them (white = fill).

    python examples/draw.py [--size 384x256] [--three] [--format png] [--out examples]

The picture is the same at any size: lengths are fractions of the height, x = 0 is the middle, and random numbers
belong to features, not to pixels. A larger picture only has finer texture, down to its own pixels.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]
Colour = tuple[int, int, int]
Stroke = tuple[Sequence[tuple[float, float]], Sequence[float], Colour]  # points (x, y), their radii, colour

SUN_X, SUN_Y, SHORE, MEADOW = 0.17, 0.37, 0.535, 0.62
ZENITH, PALE, GLOW, SUN = (98, 148, 204), (188, 210, 228), (255, 214, 160), (255, 247, 218)
RIDGES = [(0.42, 0.035, (166, 170, 196)), (0.465, 0.022, (122, 144, 166)), (0.503, 0.012, (78, 112, 112))]

WOOD, SKIN, RED, JEANS, GOLD = (92, 74, 62), (222, 172, 146), (206, 68, 54), (58, 66, 92), (236, 186, 92)
STRANGER: list[Stroke] = [  # from behind, with a rucksack and a shadow; y upwards from the feet, height 1
    ([(0.03, 0.0), (-0.24, -0.05)], [0.04, 0.025], (84, 106, 52)),
    *[([(s * 0.05, 0.46), (s * 0.07, 0.03)], [0.06, 0.042], JEANS) for s in (-1, 1)],
    *[([(s * 0.15, 0.44), (s * 0.148, 0.41)], [0.03, 0.028], SKIN) for s in (-1, 1)],
    *[([(s * 0.1, 0.77), (s * 0.165, 0.6), (s * 0.15, 0.45)], [0.05, 0.044, 0.035], (184, 58, 48)) for s in (-1, 1)],
    ([(0, 0.75), (0, 0.52)], [0.115, 0.1], RED),
    ([(0, 0.87), (0, 0.83)], [0.04, 0.045], SKIN),
    ([(0, 0.935), (0, 0.905)], [0.065, 0.06], (92, 62, 44)),
    ([(0, 0.73), (0, 0.62)], [0.07, 0.085], GOLD),
]
SIGN: list[Stroke] = [
    ([(0, 0), (0, 0.9)], [0.03, 0.03], WOOD),
    ([(-0.2, 0.8), (0.2, 0.8)], [0.18, 0.18], (240, 236, 226)),
]
BALLOON: list[Stroke] = [([(0, 0.1), (0, 0.65)], [0.05, 0.34], RED), ([(0, 0.1), (0, 0.65)], [0.03, 0.14], GOLD)]


def mix(a: Array | Colour, b: Array | Colour, t: Array) -> Array:
    """Blend two colours or pictures [..., 3]: a where t [...] is 0 or less, b where it is 1 or more."""
    start, end = np.asarray(a, np.float32), np.asarray(b, np.float32)
    blend: Array = start + (end - start) * t.clip(0, 1)[..., None]
    return blend


def noise(shape: tuple[int, int], seed: int, cells: tuple[int, int], gain: float = 0.5) -> Array:
    """Fractal noise [H, W], mostly -1..1: random grids from ``cells`` on, each twice as fine and ``gain`` as strong."""
    total: Array = np.zeros(shape, np.float32)
    octave = 0
    while cells[1] * 2**octave <= shape[1]:
        grid = (min(cells[0] * 2**octave, shape[0]), cells[1] * 2**octave)
        values = np.random.RandomState(100 * seed + octave).standard_normal(grid).astype(np.float32)
        total += gain**octave * np.asarray(Image.fromarray(values).resize(shape[::-1], Image.Resampling.BICUBIC))
        octave += 1
    total *= (1 - gain**2) ** 0.5
    return total


def background(height: int, width: int) -> Array:
    """Sky with a low sun, three ridges in the haze, a lake and a meadow: [H, W, 3], 0..255."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = (y + 0.5) / height, (x + 0.5 - width / 2) / height
    shape, line = (height, width), (1, width)

    picture = mix(mix(ZENITH, PALE, y / SHORE), GLOW, 0.95 * np.exp(-(((y - SHORE) / 0.2) ** 2)))
    clouds = 0.6 / (1 + np.exp(2.2 - 4 * noise(shape, 1, (5, 3)) + ((y - 0.24) / 0.12) ** 2))
    picture = mix(picture, mix((255, 252, 246), (255, 224, 190), 2 * y), clouds)
    far = np.hypot(x - SUN_X, y - SUN_Y)
    picture = mix(mix(picture, SUN, 0.65 * np.exp(-((far / 0.16) ** 2))), SUN, (0.034 - far) / 0.004)

    for seed, (top, rise, colour) in enumerate(RIDGES, 10):
        depth = y - top - rise * noise(line, seed, (1, 4))
        hazy = mix(colour, GLOW, 0.45 * depth / (SHORE - top)) + 2 * noise(shape, seed, (12, 18))[..., None]
        picture = mix(picture, hazy, depth * height + 0.5)

    depth = (y - SHORE) / (MEADOW - SHORE)
    lake = mix(mix((136, 150, 146), (240, 212, 180), 3 * depth), (142, 174, 206), 1.6 * depth - 0.6)
    lake += 4 * noise(shape, 20, (64, 4), 0.6)[..., None]
    glitter = (0.6 + 0.3 * noise(shape, 21, (96, 6), 0.6)) * np.exp(-(((x - SUN_X) / (0.04 + 0.05 * depth)) ** 2))
    picture = mix(picture, mix(lake, SUN, glitter), (y - SHORE) * height + 0.5)

    near = ((y - MEADOW) / (1 - MEADOW)).clip(0, 1)
    grass = mix(mix((200, 186, 98), (104, 132, 60), near**0.6), (70, 102, 50), near * np.abs(x))
    grass += ((0.3 + near) * 6 * noise(shape, 30, (40, 24), 0.75))[..., None]
    return mix(picture, grass, (y - MEADOW - 0.02 * x**2 - 0.005 * noise(line, 31, (1, 5))) * height + 0.5)


class Canvas:
    """A picture [H, W, 3] of 0..255 to draw on, and the mask [H, W] of what is to be removed."""

    def __init__(self, picture: Array) -> None:
        """Start from a background and an empty mask."""
        self.picture = picture
        self.mask: npt.NDArray[np.bool_] = np.zeros(picture.shape[:2], np.bool_)

    def draw(self, stroke: Stroke, remove: bool = False) -> None:
        """Draw a line with round ends; one to remove goes into the mask too, with a margin."""
        (height, width), (points, widths, colour) = self.mask.shape, stroke
        path, radii = np.array(points) * height + np.array([width / 2, 0]), np.array(widths) * height
        margin = height / 250
        left, top = (path.min(0) - radii.max() - margin).astype(int).clip(0)
        right, bottom = (path.max(0) + radii.max() + margin + 1).astype(int).clip(0)
        y = np.arange(top, min(bottom, height))[:, None] + 0.5
        x = np.arange(left, min(right, width)) + 0.5
        inside = np.full((y.size, x.size), -np.inf)  # pixels to the line's edge, negative outside
        for (x0, y0), (x1, y1), r0, r1 in zip(path, path[1:], radii, radii[1:], strict=False):
            dx, dy = x1 - x0, y1 - y0
            along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clip(0, 1)
            distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
            np.maximum(inside, r0 + along * (r1 - r0) - distance, out=inside)
        window = slice(top, bottom), slice(left, right)
        self.picture[window] = mix(self.picture[window], colour, (inside + 0.5).astype(np.float32))
        if remove:
            self.mask[window] |= inside > -margin


def spruce(canvas: Canvas, seed: int, x: float, foot: float, size: float) -> None:
    """A tree: drooping twigs from top to bottom, lighter on the side of the sun."""
    rng = np.random.RandomState(seed)
    canvas.draw(([(x, foot), (x, foot - 0.95 * size)], [0.022 * size, 0.004 * size], (70, 56, 46)))
    for down in np.sort(rng.uniform(0, 1, 260)):
        side, y = rng.uniform(-1, 1), foot - size * (1 - 0.86 * down)
        light = 1 + 0.3 * side * np.sign(SUN_X - x) + rng.uniform(-0.2, 0.2)
        reach, thick = side * size * (0.01 + 0.2 * down), size * (0.006 + 0.009 * down)
        twig = [(x + 0.3 * reach, y), (x + reach, y + 0.05 * size * abs(side))]
        canvas.draw((twig, [thick, 0.4 * thick], (int(40 * light), int(66 * light), int(46 * light))))


def power_line(canvas: Canvas, x: float, foot: float, top: float, thick: float) -> None:
    """A pole with three wires, to remove too; they leave the picture on both sides."""
    canvas.draw(([(x, foot), (x, top)], [thick, 0.8 * thick], WOOD), remove=True)
    for wire in range(3):
        y = top + 4 * thick * (wire + 0.5)
        canvas.draw(([(x - 2 * thick, y), (x + 2 * thick, y)], [0.6 * thick] * 2, WOOD), remove=True)
        for end, drop in ((-1.3, 0.02), (1.3, 0.1)):
            t = np.linspace(0, 1, 25)
            path = zip(x + t * (end - x), y + drop * t + 0.2 * t * (1 - t), strict=True)
            canvas.draw((list(path), [0.3 * thick] * 25, (66, 66, 78)), remove=True)


def scene(height: int, width: int, three: bool = False) -> Canvas:
    """The landscape with a stranger and a power line; or, as in a large photo, three small things and thin wires."""
    canvas = Canvas(background(height, width))
    trees = [(-0.69, 0.7, 0.34), (-0.6, 0.73, 0.25), (-0.5, 0.69, 0.15), (0.71, 0.67, 0.17)]
    for seed, (x, foot, size) in enumerate(trees, 40):
        spruce(canvas, seed, x, foot, size)
    power_line(canvas, 0.5, 0.8, 0.07, 0.002 if three else 0.006)
    far = [(STRANGER, -0.16, 0.76, 0.08), (SIGN, 0.2, 0.84, 0.06), (BALLOON, -0.35, 0.27, 0.06)]
    for thing, x, foot, size in far if three else [(STRANGER, -0.14, 0.92, 0.25)]:
        for points, radii, colour in thing:
            path = [(x + px * size, foot - py * size) for px, py in points]
            canvas.draw((path, [r * size for r in radii], colour), remove=True)
    return canvas


def main() -> None:
    """Write landscape.png (or .jpg) and landscape_mask.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="384x256", help="width x height in pixels")
    parser.add_argument("--three", action="store_true", help="three small things and thin wires, for a large picture")
    parser.add_argument("--format", default="png", choices=["png", "jpg"], help="of the picture; the mask is a PNG")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder, made if need be")
    options = parser.parse_args()
    width, height = (int(n) for n in options.size.split("x"))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot write to {options.out}: {error.strerror}")
    canvas = scene(height, width, options.three)
    picture = Image.fromarray(canvas.picture.round().clip(0, 255).astype(np.uint8))
    picture.save(options.out / f"landscape.{options.format}", quality=92)
    Image.fromarray(canvas.mask).convert("L").save(options.out / "landscape_mask.png")


if __name__ == "__main__":
    main()
