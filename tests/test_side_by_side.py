"""Work on several cores: the same answers, errors and bytes as on one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlx_moebius import side_by_side as module
from mlx_moebius.inpainting.prepare import prepare
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.photos.photo import photo_from_image
from mlx_moebius.side_by_side import Ahead, Arriving, in_order, one_blas_thread, side_by_side

BARK = Path(__file__).parents[1] / "examples" / "windows" / "bark.jpg"


@pytest.fixture(params=[1, 4])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "workers", lambda: request.param)
    return int(request.param)


def test_answers_come_in_order_and_work_may_be_divided_again(cores: int) -> None:
    assert side_by_side(lambda a: sum(side_by_side(lambda b: a * b, range(5))), range(50)) == [
        10 * a for a in range(50)
    ]


def test_what_needs_others_waits_for_them_and_the_rest_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "workers", lambda: 2)
    begun: list[int] = []
    meet = threading.Barrier(2, timeout=30)

    def work(number: int) -> int:
        begun.append(number)
        if number in (0, 2):  # 1 needs 0, so 2 is begun before it
            meet.wait()
        return number

    assert list(in_order(work, range(5), [[], [0], [], [1, 2], [3]])) == [0, 1, 2, 3, 4]
    assert begun.index(2) < begun.index(1) < begun.index(3) < begun.index(4)


def test_nothing_is_begun_once_nobody_asks(cores: int) -> None:
    begun: list[int] = []
    answers = in_order(begun.append, range(1000), most=1)
    next(answers)
    answers.close()
    assert begun == [0]


def test_two_parts_run_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "workers", lambda: 2)
    meet = threading.Barrier(2, timeout=30)
    assert sorted(side_by_side(lambda _: meet.wait(), range(2))) == [0, 1]


def test_the_first_error_arrives_and_the_next_work_is_done(cores: int) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // (number - 7), range(20))
    assert side_by_side(abs, [-1, -2, -3]) == [1, 2, 3]


def test_blas_has_one_thread_inside_and_its_own_number_after() -> None:
    blas = module._openblas()
    if blas is None:  # Apple's Accelerate and others stay as they are
        with one_blas_thread():
            return
    threads, put = blas
    before = threads()
    put(3)
    try:
        with one_blas_thread(), one_blas_thread():
            assert side_by_side(lambda _: threads(), range(4)) == [1, 1, 1, 1]
        assert threads() == 3
    finally:
        put(before)


def test_what_arrives_is_used_while_the_rest_is_awaited() -> None:
    arriving: Arriving[int] = Arriving(3)
    with Ahead(number + 1 for number in arriving) as ahead:
        with arriving:
            for number in range(3):
                arriving.arrive(number)
                assert next(ahead) == number + 1
        assert list(ahead) == []
    assert arriving[1:] == [1, 2]


def test_an_error_ahead_arrives_after_what_was_made_before() -> None:
    with Ahead(1 // number for number in (1, 0, 1)) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ZeroDivisionError):
            next(ahead)


def test_nobody_waits_for_what_does_not_arrive() -> None:
    arriving: Arriving[int] = Arriving(2)
    with pytest.raises(ZeroDivisionError), Ahead(iter(arriving)), arriving:
        arriving.arrive(1 // 0)
    with pytest.raises(CancelledError):
        arriving[1]


def test_nothing_is_made_ahead_once_nobody_asks() -> None:
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            begun.set()
            assert go_on.wait(30)
            yield number

    ahead = Ahead(items())
    assert begun.wait(30)
    leaving = threading.Thread(target=ahead.__exit__)
    leaving.start()
    while not ahead.left:
        pass
    go_on.set()
    leaving.join()
    assert made == [0]


@pytest.mark.parametrize("ideal", [False, True])
def test_a_fill_has_the_same_bytes_on_every_number_of_cores(ideal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = photo_from_image(Image.open(BARK).convert("RGB").crop((200, 200, 520, 500)))
    mask = np.zeros((300, 320), bool)
    mask[100:190, 120:220] = mask[20:24, 100:105] = True  # the second is a speck
    results = []
    for number in (1, 3):
        monkeypatch.setattr(module, "workers", lambda number=number: number)
        prepared = prepare(photo, mask, 128, Settings(dilate=0))
        fills = [image / np.float32(255) for image in prepared.images]
        if ideal:
            frames = [Image.fromarray(photo.rgb()).crop(crop.frame) for crop in prepared.crops]
            fills = [np.asarray(frame.resize((128, 128), Image.Resampling.BOX)) / np.float32(255) for frame in frames]
        levels = list(prepared.match_colours(fills, Settings()))
        details = list(prepared.grow_details(levels, Settings()))
        assert [detail.colours is not None for detail in details] == [True]
        results.append(prepared.finish(levels, details, Settings()).photo.pixels)
    assert not np.array_equal(results[0][mask], photo.pixels[mask])
    assert np.array_equal(results[0], results[1])
