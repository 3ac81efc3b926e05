"""The part of the pickle language in which `torch.save` describes tensors, read as inert records.

A pickle is a program, which Python's `pickle` executes. This machine knows only the instructions that a state
dict needs and calls nothing: the few allowed names build a dict or one of the records below, every other
name is refused. Its memory is bounded by MAX_INSTRUCTIONS and by the size of the stream.
Source: Python's `pickletools`; PyTorch `torch/_utils.py` and `torch/serialization.py`.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from io import BytesIO
from typing import Any

MAX_INSTRUCTIONS = 1_000_000

# torch.XStorage -> the type of its elements
STORAGES = {
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.FloatStorage": "float32",
    "torch.DoubleStorage": "float64",
    "torch.CharStorage": "int8",
    "torch.ShortStorage": "int16",
    "torch.IntStorage": "int32",
    "torch.LongStorage": "int64",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}
DICT = "collections.OrderedDict"
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"
ALLOWED = {*STORAGES, DICT, TENSOR, PARAMETER}

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}


@dataclass(frozen=True, slots=True)
class Name:
    """An allowed global name, which stays a name."""

    text: str


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A storage by its key in the file: `numel` elements of `dtype`."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A view of a storage; offset and strides in elements. Unchecked: whatever the file claims."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickle(stream: BytesIO, storages: dict[str, StorageRef] | None = None) -> Any:
    """The value of one pickle, leaving `stream` behind it: built-in values, StorageRef and TensorRef.

    Every storage that it mentions is entered in `storages` by its key. Raises ValueError (LookupError or
    TypeError where the program makes no sense).
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = marks.pop()
        values = stack[start:]
        del stack[start:]
        return values

    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_INSTRUCTIONS:
            raise ValueError(f"its pickle has more than {MAX_INSTRUCTIONS} instructions")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case name if name in LITERALS:
                stack.append(argument)
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count_of = int(name[-1])
                stack[-count_of:] = [tuple(stack[-count_of:])]
            case "APPEND":
                value = stack.pop()
                expect(stack[-1], list).append(value)
            case "APPENDS":
                values = pop_to_mark()
                expect(stack[-1], list).extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                set_items(stack[-1], [key, value])
            case "SETITEMS":
                values = pop_to_mark()
                set_items(stack[-1], values)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(allowed_name(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                attribute, module = expect(stack.pop(), str), expect(stack.pop(), str)
                stack.append(allowed_name(f"{module}.{attribute}"))
            case "BINPERSID":
                storage = storage_ref(*expect(stack.pop(), tuple))
                stack.append(storage)
                if storages is not None:
                    storages[storage.key] = storage
            case "REDUCE":
                arguments, function = expect(stack.pop(), tuple), expect(stack.pop(), Name)
                stack.append(build(function, arguments))
            case "BUILD":
                # A module's state dict carries `_metadata` (version numbers), which nothing here needs.
                stack.pop()
                expect(stack[-1], dict)
            case name:
                raise ValueError(f"its pickle uses the instruction {name}, which no state dict needs")
    raise ValueError("its pickle has no end")


def expect(value: Any, kind: type) -> Any:
    """`value`, which must be exactly of `kind`."""
    if type(value) is not kind:
        raise ValueError(f"its pickle has a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def set_items(target: Any, values: list[Any]) -> None:
    """Put alternating keys and values into a dict; keys must be text or small integers (cheap and safe to hash)."""
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not (isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**31)):
            raise ValueError(f"its pickle has a dict with a {type(key).__name__} as key")
        expect(target, dict)[key] = value


def allowed_name(text: str) -> Name:
    """The name, if tensors need it."""
    if text not in ALLOWED:
        raise ValueError(f"it asks for {text[:100]!r}, which is not loaded: only tensors are (save a state_dict)")
    return Name(text)


def storage_ref(tag: Any, kind: Any, key: Any, location: Any, numel: Any, view: Any = None) -> StorageRef:
    """A persistent id: ("storage", type, key, device, number of elements[, view of another storage])."""
    if tag != "storage" or view is not None or expect(kind, Name).text not in STORAGES:
        raise ValueError("its pickle refers to something that is not a plain storage")
    return StorageRef(STORAGES[kind.text], expect(key, str), expect(numel, int))


def build(function: Name, arguments: tuple[Any, ...]) -> Any:
    """What an allowed function would return, as an inert record."""
    if function.text == DICT and not arguments:
        return {}
    if function.text == TENSOR and len(arguments) >= 4:
        storage, offset, shape, strides = arguments[:4]
        expect(storage, StorageRef)
        return TensorRef(storage, expect(offset, int), expect(shape, tuple), expect(strides, tuple))
    if function.text == PARAMETER and arguments:
        return expect(arguments[0], TensorRef)
    raise ValueError(f"its pickle calls {function.text} in a way that torch.save does not")
