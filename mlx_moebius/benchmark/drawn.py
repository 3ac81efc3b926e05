"""Drawn pictures of what is no dust: grain, stars, letters and eyes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mlx_moebius.opencv import opencv

SIZE = (700, 1000)
EACH = 4  # pictures of each kind
WORDS = (
    "Minimum, illicit; i.e. jilted!",
    "Do. 12:30 - 14:45",
    "www.example.org",
    "A... B: C; D, ' \" *",
    "i j ; : ! ? %",
)


def textures(generator: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Grainy skies and meadows, uint8 [H, W, 3], several of each."""
    for _ in range(EACH):
        yield _finished(_level(generator), generator, generator.uniform(2, 10))
        yield _finished(_meadow(generator), generator, generator.uniform(2, 8))


def full_of_dots(generator: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Stars, letters and eyes, uint8 [H, W, 3], several pictures of each."""
    for _ in range(EACH):
        yield _finished(_night(generator), generator, generator.uniform(0.5, 4))
        yield _finished(_page(generator), generator, generator.uniform(0.5, 4))
        yield _finished(_faces(generator), generator, generator.uniform(0.5, 3))


def _finished(scene: NDArray[np.float32], generator: np.random.Generator, noise: float) -> NDArray[np.uint8]:
    """A scene as a camera sees it: a little blurred, with grain of a random size, of its own in each colour or not."""
    cv2 = opencv()
    blurred = cv2.GaussianBlur(scene, (0, 0), generator.uniform(0.3, 1.0))
    grain = generator.normal(0, 1, (*SIZE, 3 if generator.random() < 0.6 else 1)).astype(np.float32)
    if generator.random() < 0.5:
        grain = cv2.GaussianBlur(grain, (0, 0), generator.uniform(0.5, 1.2)).reshape(grain.shape)
    return np.asarray((blurred + noise * grain / grain.std()).clip(0, 255), np.uint8)


def _colour(generator: np.random.Generator, low: float, high: float) -> NDArray[np.float32]:
    return (generator.uniform(low, high) + generator.uniform(-25, 25, 3)).clip(0, 255).astype(np.float32)


def _level(generator: np.random.Generator) -> NDArray[np.float32]:
    """A sky, lighter downwards."""
    slope = np.linspace(0, generator.uniform(0, 80), SIZE[0], dtype=np.float32)[:, None, None]
    return np.broadcast_to(_colour(generator, 60, 180) + slope, (*SIZE, 3)).astype(np.float32)


def _meadow(generator: np.random.Generator) -> NDArray[np.float32]:
    """Squares of different light."""
    side = int(generator.integers(3, 14))
    coarse = generator.normal(0, 1, (SIZE[0] // side + 1, SIZE[1] // side + 1))
    squares = coarse.repeat(side, 0).repeat(side, 1)[: SIZE[0], : SIZE[1], None]
    return (_colour(generator, 70, 150) + generator.uniform(5, 25) * squares).astype(np.float32)


def _night(generator: np.random.Generator) -> NDArray[np.float32]:
    """Stars or lamps, and dust between them is none."""
    cv2 = opencv()
    scene = (np.zeros((*SIZE, 3)) + _colour(generator, 4, 60) / 2).astype(np.float32)
    for x, y in generator.integers(3, SIZE[::-1], (int(generator.integers(60, 900)), 2)):
        light = tuple(float(value) for value in _colour(generator, 60, 255))
        cv2.circle(scene, (int(x), int(y)), int(generator.integers(0, 4)), light, -1, cv2.LINE_AA)
    return scene


def _page(generator: np.random.Generator) -> NDArray[np.float32]:
    """Lines of letters, dark on light or light on dark."""
    cv2 = opencv()
    paper, ink = _colour(generator, 170, 255), _colour(generator, 0, 90)
    if generator.random() < 0.4:
        paper, ink = ink, paper
    scene = np.zeros((*SIZE, 3), np.uint8) + np.rint(paper).astype(np.uint8)
    height = generator.uniform(0.35, 1.5)
    faces = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_PLAIN)
    for number, top in enumerate(np.arange(30, SIZE[0], 34 * height + 14)):
        text = " ".join(generator.permutation(WORDS))
        place, face = (int(generator.integers(0, 60)), int(top)), faces[number % len(faces)]
        cv2.putText(scene, text, place, face, height, ink.tolist(), int(generator.integers(1, 3)), cv2.LINE_AA)
    return scene.astype(np.float32)


def _faces(generator: np.random.Generator) -> NDArray[np.float32]:
    """Eyes of many sizes on skin, with a light in each, and buttons."""
    cv2 = opencv()
    scene = np.zeros((*SIZE, 3), np.float32) + _colour(generator, 80, 220)
    for _ in range(int(generator.integers(20, 60))):
        x, y = (int(value) for value in generator.integers(20, np.array(SIZE[::-1]) - 20))
        wide = generator.uniform(5, 32)
        white, iris = _colour(generator, 190, 255).tolist(), _colour(generator, 20, 120).tolist()
        cv2.ellipse(scene, (x, y), (round(wide), round(wide / 2)), generator.uniform(-20, 20), 0, 360, white, -1)
        cv2.circle(scene, (x, y), round(wide * 0.42), iris, -1, cv2.LINE_AA)
        cv2.circle(scene, (x, y), round(wide * 0.2), (8.0, 8.0, 8.0), -1, cv2.LINE_AA)
        cv2.circle(scene, (x + round(wide * 0.12), y - round(wide * 0.15)), round(wide * 0.08), (255.0,) * 3, -1)
        cv2.circle(scene, (x, y + round(2 * wide)), round(wide * 0.3), iris, -1, cv2.LINE_AA)  # a button or a pore
    return scene
