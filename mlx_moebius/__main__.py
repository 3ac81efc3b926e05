"""The one command: `mlx-moebius PHOTO --mask MASK`, `mlx-moebius train PHOTOS ...`; also `python -m mlx_moebius`.

The first word chooses among COMMANDS, each of which is a program of its own. Without such a word a photo is filled.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

COMMANDS = {
    "generate": "mlx_moebius.generate",
    "select": "mlx_moebius.select",
    "ui": "mlx_moebius.ui.__main__",
    "train": "mlx_moebius.train",
    "convert": "mlx_moebius.convert.__main__",
    "models": "mlx_moebius.models.__main__",
    "benchmark": "mlx_moebius.benchmark.__main__",
}
"""Word -> the module whose `program` it runs. A file of such a name is given as ./NAME."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the first word names; always ends by SystemExit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["completion"]:
        show_completion(words[1:])
    command = words.pop(0) if words and words[0] in COMMANDS else "generate"
    importlib.import_module(COMMANDS[command]).main(words)
    raise SystemExit(0)


def show_completion(words: list[str]) -> NoReturn:
    """Print the script for a shell."""
    from mlx_moebius.cli.completion import SHELLS, script

    if len(words) != 1 or words[0] not in SHELLS:
        print(f"error: mlx-moebius completion wants one word: {', '.join(SHELLS)}", file=sys.stderr)
        raise SystemExit(2)
    print(script(words[0], {name: importlib.import_module(module).program.app for name, module in COMMANDS.items()}))
    raise SystemExit(0)


if __name__ == "__main__":
    main()
