"""Errors say what is wrong; each face adds what can be changed about it, in its own words."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

import mlx_moebius
from mlx_moebius import generate, train
from mlx_moebius.benchmark import __main__ as benchmark
from mlx_moebius.cli.command import Program
from mlx_moebius.cli.flags import on_command_line, options_of
from mlx_moebius.convert import __main__ as convert
from mlx_moebius.errors import ANOTHER, GIVEN, LESS, MORE, Change, MoebiusError, Note, in_python, worded
from mlx_moebius.inpainting.settings import Settings
from mlx_moebius.models import __main__ as models
from mlx_moebius.ui import __main__ as page
from mlx_moebius.ui.refusals import in_form, on_page

PACKAGE = Path(mlx_moebius.__file__).parent
FACES = (
    "__main__.py",
    "generate.py",
    "select.py",
    "writing.py",
    "model_choice.py",
    "train.py",
    "console.py",
    "cli/",
    "options/",
)
"""Modules of the command lines, which speak in flags."""
NOT_SAID = {"folder/review.py", "convert/card.py", "benchmark/approximate.py"}
"""A style sheet; a command to copy, on a model's card; the names of what is benchmarked."""
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def library() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(FACES) and path.name != "__main__.py" and name not in NOT_SAID:
            yield name, ast.parse(path.read_text())


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Strings that are no documentation, and their lines."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def test_the_library_says_no_flags() -> None:
    modules = list(library())
    assert len(modules) > 80
    said = [(name, *each) for name, tree in modules for each in strings(tree)]
    assert [each for each in said if FLAG.search(each[2])] == []


def test_every_change_that_the_library_proposes_is_an_option_of_a_command() -> None:
    options = {
        option
        for each in (generate, train, convert, models, benchmark, page)
        for option in options_of(get_command(each.app))
    }
    proposed = {
        str(node.args[0].value)
        for _, tree in library()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Change"
        if isinstance(node.args[0], ast.Constant)
    }
    assert {"guidance_scale", "memory_limit", "large", "learning_rate"} <= proposed
    assert [name for name in proposed if on_command_line(Change(name, MORE), options) is None] == []


def test_an_error_is_worded_for_its_face() -> None:
    error = MoebiusError(
        "the network's numbers overflow",
        Change("guidance_scale", LESS),
        Change("num_steps", MORE),
        Change("dtype", "float32"),
    )
    said = "the network's numbers overflow"
    assert str(error) == f"{said}: lower guidance_scale, raise num_steps or dtype='float32'"
    assert worded(error, on_command_line) == f"{said}: lower --guidance, raise --steps or use --dtype float32"
    assert worded(error, on_page) == f"{said}: lower the guidance or raise the steps"
    assert worded(error, in_form) == f"{said}: lower guidance_scale or raise num_steps"


@pytest.mark.parametrize(
    ("change", "python", "flag"),
    [
        (Change("invert", True, "if that is meant"), "invert=True if that is meant", "add --invert if that is meant"),
        (Change("invert", False), "invert=False", "leave --invert out"),
        (Change("extend", None), "extend=None", "leave --extend out"),
        (Change("ema", 0), "ema=0", "use --ema 0"),
        (Change("out", ANOTHER), "choose another out", "choose another --out"),
        (Change("license", GIVEN), "give license", "give --license"),
        (Change("learning_rate", LESS), "lower learning_rate", "lower --lr"),
    ],
)
def test_changes_in_python_and_on_the_command_line(change: Change, python: str, flag: str) -> None:
    assert in_python(change) == python
    assert on_command_line(change) == flag


def test_what_a_face_cannot_change_it_does_not_name(capsys: pytest.CaptureFixture[str]) -> None:
    error = MoebiusError("the photo is large", "reduce it", Change("max_pixels", MORE))
    assert worded(error, on_page) == worded(error, in_form) == "the photo is large: reduce it"
    few = Program("few", "A command with few options")

    @few.command(alone=True)
    def command(overwrite: Annotated[bool, typer.Option("--overwrite")] = False) -> None:
        raise MoebiusError("the photo is large", "reduce it", Change("max_pixels", MORE), Change("overwrite", True))

    with pytest.raises(SystemExit):
        few.main([])
    assert capsys.readouterr().err == "error: the photo is large: reduce it or add --overwrite\n"
    assert worded(MoebiusError("this is so", Change("max_pixels", MORE)), on_page) == "this is so"
    assert worded(MoebiusError("not here", Change("reference", False)), in_form) == "not here: reference=false"


def test_a_warning_is_worded_as_an_error_is() -> None:
    note = Note("the fill will be soft", "mask smaller parts", Change("context", LESS))
    assert note == "the fill will be soft: mask smaller parts or lower context"
    assert worded(note, on_command_line).endswith("mask smaller parts or lower --context")
    assert worded("a plain line", on_command_line) == "a plain line"


def test_an_error_names_its_file_and_survives_another_process() -> None:
    error = MoebiusError("it is large", "reduce it", Change("max_pixels", MORE)).within("photo.png")
    assert str(error) == "photo.png: it is large: reduce it or raise max_pixels"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_setting_out_of_bounds_is_named_as_in_python() -> None:
    with pytest.raises(MoebiusError, match=r"^guidance_scale must be a number from 0 to 100, not 'much'$"):
        Settings(guidance_scale="much")  # type: ignore[arg-type]
