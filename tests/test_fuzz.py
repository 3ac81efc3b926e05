"""Thousands of damaged and hostile checkpoint files: each is read or refused in one line, in bounded memory."""

from __future__ import annotations

import codecs
import io
import json
import random
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from mlx_moebius.convert.checkpoint import MAX_GROWTH, SLACK, read_tensors
from mlx_moebius.errors import MoebiusError
from tests.support import torch_zip
from tests.support.golden import DATA

FILES = DATA / "torch_files"
# What reading may allocate: Python objects for a pickle or header of a few kilobytes, however it is damaged.
MEMORY = 32 * 2**20
FORBIDDEN = {
    "exec",
    "compile",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "pickle.find_class",
}
INTERESTING = [0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
OPCODES = b"(.0123]}){abcdeghijlopqrstuNIJKLMVSTUXBCGFPQR\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8e\x93\x94\x95"
GADGETS = [
    b"cos\nsystem\n(X\x04\x00\x00\x00exittR",
    b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR",
    b"\x8c\x02os\x8c\x06system\x93\x8c\x04exit\x85R",
    b"ctorch._utils\n_rebuild_tensor_v2\n(tR",
    b"(" * 50,
    b"}" * 50,
    b"2" * 50,
]


def zip_of(pickled: bytes, storages: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip as `torch.save` lays it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return buffer.getvalue()


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)


def number(data: bytearray, rng: random.Random) -> None:
    width = rng.choice([1, 2, 4, 8])
    at = rng.randrange(max(1, len(data) - width))
    data[at : at + width] = (rng.choice(INTERESTING) % 256**width).to_bytes(width, "little")


def cut(data: bytearray, rng: random.Random) -> None:
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    del data[start : min(end, start + rng.choice([1, 8, 100, 10**6]))]


def repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice([1, 8, 100])]
    at = rng.randrange(len(data))
    data[at:at] = piece * rng.choice([1, 2, 50])


def swap(data: bytearray, rng: random.Random) -> None:
    length = rng.choice([2, 8, 64])
    first, second = (rng.randrange(max(1, len(data) - length)) for _ in range(2))
    data[first : first + length], data[second : second + length] = (
        data[second : second + length],
        data[first : first + length],
    )


def opcode(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(min(len(data), 2000))] = rng.choice(OPCODES)


def gadget(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(min(len(data), 2000))
    data[at:at] = rng.choice(GADGETS)


MUTATIONS: list[Callable[[bytearray, random.Random], None]] = [flip, number, cut, repeat, swap, opcode, gadget]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """The file after one to three random changes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        if data:
            rng.choice(MUTATIONS)(data, rng)
    return bytes(data)


def mutated_files(content: bytes, rng: random.Random) -> Iterator[bytes]:
    while True:
        yield mutate(content, rng)


def rezipped_files(rng: random.Random) -> Iterator[bytes]:
    """Sound zips around mutated pickles, so that the damage reaches the interpreter."""
    with zipfile.ZipFile(FILES / "tensors_zip.pt") as archive:
        pickled = next(archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
        storages = {n.rpartition("/")[2]: archive.read(n) for n in archive.namelist() if "/data/" in n}
    while True:
        yield zip_of(mutate(pickled, rng), storages)


def sample_safetensors() -> bytes:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(12, dtype=np.float32).reshape(3, 4),
        "b": np.ones(3, np.float16),
        "c.d": np.zeros((2, 0)),
    }
    return save(arrays)


def reheaded_files(rng: random.Random) -> Iterator[bytes]:
    """Safetensors whose JSON stays JSON: absurd shapes, types, offsets and names in their places."""
    content = sample_safetensors()
    (length,) = struct.unpack("<Q", content[:8])
    values: list[object] = [*INTERESTING, -1, 1.5, "1", None, True, [], {}, [[]], "F32", "X" * 9999, 10**400]
    while True:
        header = json.loads(content[8 : 8 + length])
        for _ in range(rng.randint(1, 3)):
            entry = header[rng.choice(list(header))]
            if not isinstance(entry, dict) or not entry:
                continue
            key = rng.choice(list(entry))
            if isinstance(entry[key], list) and entry[key] and rng.random() < 0.7:
                entry[key][rng.randrange(len(entry[key]))] = rng.choice(values)
            else:
                entry[key] = rng.choice(values)
        text = json.dumps(header).encode()
        yield struct.pack("<Q", len(text)) + text + content[8 + length :]


def sources(kind: str, rng: random.Random) -> tuple[str, Iterator[bytes]]:
    """File name and endless mutations of one kind of file."""
    if kind == "zip":
        return "file.pt", mutated_files((FILES / "tensors_zip.pt").read_bytes(), rng)
    if kind == "pickle":
        return "file.pt", rezipped_files(rng)
    if kind == "legacy":
        return "file.pt", mutated_files((FILES / "tensors_legacy.pt").read_bytes(), rng)
    if kind == "safetensors":
        return "file.safetensors", mutated_files(sample_safetensors(), rng)
    return "file.safetensors", reheaded_files(rng)


@pytest.fixture(scope="module")
def executed() -> Iterator[list[str]]:
    """Events by which code would have run or other files been opened, seen by the interpreter itself."""
    codecs.lookup("raw_unicode_escape")  # Python's own, loaded by pickletools when it first meets such text
    events: list[str] = []
    active = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if active and (event in FORBIDDEN or (event == "open" and str(arguments[1])[:1] in "wax+")):
            events.append(f"{event} {arguments}"[:200])

    sys.addaudithook(hook)
    yield events
    active = False


def outcome(path: Path, bound: int) -> str | None:
    """The refusal; None if the file was read, then with no more than `bound` bytes of tensors."""
    try:
        tensors = read_tensors(path)
    except MoebiusError as error:
        return str(error)
    assert sum(tensor.raw.nbytes for tensor in tensors.values()) <= bound
    for tensor in tensors.values():
        tensor.raw.copy()  # every byte that it claims can be read
    return None


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of pickletools, at damaged text
@pytest.mark.parametrize("rounds", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["zip", "pickle", "legacy", "safetensors", "header"])
def test_mutated_files(kind: str, rounds: int, tmp_path: Path, executed: list[str]) -> None:
    rng = random.Random(f"moebius {kind}")
    name, files = sources(kind, rng)
    path = tmp_path / name
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(rounds):
            content = next(files)
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            executed.clear()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            message = outcome(path, MAX_GROWTH * len(content) + SLACK)
            assert message is None or (str(path) in message and message.isprintable() and len(message) < 600)
            refused += message is not None
            assert tracemalloc.get_traced_memory()[1] - before < MEMORY
            assert executed == []
    finally:
        tracemalloc.stop()
    print(f"{kind}: {rounds - refused} read, {refused} refused")
    assert refused > rounds // 10


def overlapping(count: int, size: int) -> bytes:
    """A zip whose directory gives every one of `count` empty entries the bytes of a single one of `size`."""
    names = [str(i) for i in range(count)]
    pickled = torch_zip.state_dict((name, torch_zip.tensor(name, (size // 4,))) for name in names)
    content = bytearray(zip_of(pickled, {"0": bytes(size), **dict.fromkeys(names[1:], b"")}))
    first: tuple[bytes, bytes] | None = None
    at = content.find(b"PK\x01\x02")
    while at >= 0 and content[at : at + 4] == b"PK\x01\x02":
        lengths = struct.unpack_from("<HHH", content, at + 28)
        name = content[at + 46 : at + 46 + lengths[0]]
        if name == b"archive/data/0":
            first = bytes(content[at + 20 : at + 28]), bytes(content[at + 42 : at + 46])
        elif first is not None:
            content[at + 20 : at + 28], content[at + 42 : at + 46] = first
        at += 46 + sum(lengths)
    return bytes(content)


def test_overlapping_entries_claim_no_more_than_a_few_files(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(overlapping(2, 2**18))
    assert outcome(path, MAX_GROWTH * path.stat().st_size + SLACK) is None
    path.write_bytes(overlapping(300, 2**18))
    assert "claim far more memory" in str(outcome(path, 0))


def test_paths_in_a_zip_are_only_names(tmp_path: Path, executed: list[str]) -> None:
    outside = tmp_path / "outside"
    for key in ("../../../outside", str(outside)):
        pickled = torch_zip.state_dict([("x", torch_zip.tensor(key, (16,)))])
        path = tmp_path / "folder" / "file.pt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zip_of(pickled, {key: bytes(64)}))
        executed.clear()
        assert outcome(path, 64) is None  # a key like any other: read where the zip's directory says, written nowhere
        assert executed == []
        assert not outside.exists()


def test_bombs(tmp_path: Path) -> None:
    pickled = torch_zip.state_dict([("x", torch_zip.tensor("0", (2**24,)))])
    path = tmp_path / "file.pt"
    path.write_bytes(zip_of(pickled, {"0": bytes(2**26)}, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    assert "compressed" in str(outcome(path, 0))
    assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()
