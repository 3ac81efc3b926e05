"""People are found by macOS; here by a fake of the objects that Apple documents, whose names and calls are the same."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlx_moebius.errors import MoebiusError
from mlx_moebius.photos.photo import photo_from_image
from mlx_moebius.selection.people import find_instances
from mlx_moebius.selection.request import select

SIZE = (40, 60)


class Indexes:
    """NSIndexSet."""

    def __init__(self, *indexes: int) -> None:
        self.indexes = indexes

    @staticmethod
    def indexSetWithIndex_(index: int) -> Indexes:
        return Indexes(index)

    def count(self) -> int:
        return len(self.indexes)

    def firstIndex(self) -> int:
        return self.indexes[0]

    def indexGreaterThanIndex_(self, index: int) -> int:
        return next((each for each in self.indexes if each > index), sys.maxsize)


class Observation:
    """VNInstanceMaskObservation of two people: a small one (1) and a large one (2)."""

    def allInstances(self) -> Indexes:
        return Indexes(1, 2)

    def generateScaledMaskForImageForInstances_fromRequestHandler_error_(
        self, instances: Indexes, handler: Handler, error: None
    ) -> tuple[Any, None]:
        values = np.zeros((SIZE[0], SIZE[1] + 4), np.float32)  # rows are padded
        left, right = {1: (5, 15), 2: (20, 50)}[instances.firstIndex()]
        values[10:30, left:right] = 0.9
        return values, None


class Handler:
    """VNImageRequestHandler."""

    @classmethod
    def alloc(cls) -> Handler:
        return cls()

    def initWithData_options_(self, data: bytes, options: None) -> Handler:
        self.size = Image.open(io.BytesIO(data)).size
        return self

    def performRequests_error_(self, requests: list[Request], error: None) -> tuple[bool, str | None]:
        assert self.size == SIZE[::-1]
        for request in requests:
            request.found = [Observation()]
        return True, None


class Request:
    """VNGeneratePersonInstanceMaskRequest."""

    found: list[Observation] | None = None

    @classmethod
    def alloc(cls) -> Request:
        return cls()

    def init(self) -> Request:
        return self

    def results(self) -> list[Observation] | None:
        return self.found


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A Mac with the frameworks; returns its Vision."""
    vision = SimpleNamespace(VNImageRequestHandler=Handler, VNGeneratePersonInstanceMaskRequest=Request)
    data = SimpleNamespace(dataWithBytes_length_=lambda content, length: content[:length])
    quartz = SimpleNamespace(
        CVPixelBufferLockBaseAddress=lambda buffer, flags: 0,
        CVPixelBufferUnlockBaseAddress=lambda buffer, flags: 0,
        CVPixelBufferGetHeight=lambda buffer: buffer.shape[0],
        CVPixelBufferGetWidth=lambda buffer: buffer.shape[1] - 4,
        CVPixelBufferGetBytesPerRow=lambda buffer: buffer.strides[0],
        CVPixelBufferGetBaseAddress=lambda buffer: SimpleNamespace(as_buffer=lambda count: buffer.tobytes()[:count]),
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "Vision", vision)
    monkeypatch.setitem(sys.modules, "Foundation", SimpleNamespace(NSData=data, NSIndexSet=Indexes))
    monkeypatch.setitem(sys.modules, "Quartz", quartz)
    return vision


def test_each_person_has_a_mask_and_the_largest_comes_first(mac: SimpleNamespace) -> None:
    large, small = find_instances(np.zeros((*SIZE, 3), np.uint8), "people")
    assert large[10:30, 20:50].all()
    assert large.sum() == 20 * 30
    assert small[10:30, 5:15].all()
    assert small.sum() == 20 * 10


def test_strangers_are_all_people_but_the_largest(mac: SimpleNamespace) -> None:
    photo = photo_from_image(Image.new("RGB", SIZE[::-1]))
    assert select(photo, ["people"]).sum() == 20 * 40
    assert select(photo, ["strangers"]).sum() == 20 * 10


def test_an_older_macos_is_told_apart(mac: SimpleNamespace) -> None:
    with pytest.raises(MoebiusError, match="macOS 14"):
        find_instances(np.zeros((*SIZE, 3), np.uint8), "subjects")


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "Vision", None)
    with pytest.raises(MoebiusError, match=r"mlx-moebius\[people\]"):
        find_instances(np.zeros((*SIZE, 3), np.uint8), "people")


def test_on_another_system_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(MoebiusError, match="found by macOS itself"):
        find_instances(np.zeros((*SIZE, 3), np.uint8), "people")
