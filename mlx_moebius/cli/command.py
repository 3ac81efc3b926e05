"""The factory of the command lines: a function with annotated parameters becomes a command.

    program = Program("mlx-moebius train", ABOUT, examples=("mlx-moebius train photos/ -o model/",))

    @program.command(most_used=("photos", "out"))
    def train(photos: Photos, out: Out, steps: Steps = None) -> None: ...

    main = program.main

All commands report errors alike: one line on standard error that begins with "error:", and an exit status. The status
is 2 where the command line itself is wrong, which is checked before any work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from mlx_moebius import startup
from mlx_moebius.cli.flags import on_command_line, options_of
from mlx_moebius.cli.help import INFORMATION, help_text, listed, paragraphs
from mlx_moebius.cli.values import UsageError
from mlx_moebius.errors import MoebiusError, worded
from mlx_moebius.files import printable

F = TypeVar("F", bound=Callable[..., None])
TYPER_USAGE_ERROR: type[Any] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")
INTERRUPTED = 130


class Program:
    """A command line, of one command or of several."""

    def __init__(
        self,
        name: str,
        about: str,
        examples: Sequence[str] = (),
        see_also: Sequence[tuple[str, str]] = (),
        status: int = 1,
    ) -> None:
        """Describe a command line.

        Args:
            name: the words by which users call it.
            about: what it does, in paragraphs.
            examples: command lines that the help shows.
            see_also: other commands, with what they do, listed at the end of the help.
            status: exit status of an error during the work.
        """
        self.name, self.about, self.examples, self.see_also, self.status = name, about, examples, see_also, status
        self.app = typer.Typer(
            cls=type("Group", (_Group,), {"program": self}),
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
            context_settings=SETTINGS,
        )

    def command(
        self, most_used: Sequence[str] = (), name: str | None = None, examples: Sequence[str] = (), alone: bool = False
    ) -> Callable[[F], F]:
        """Make a command of a function: the only one, or one of several.

        Args:
            most_used: parameters that the help shows first.
            name: its name, where there are several; its help is then the function's docstring.
            examples: its examples, where there are several.
            alone: whether it means something without arguments; otherwise it then shows its help.
        """
        attributes = {
            "program": self,
            "most_used": tuple(most_used),
            "examples": tuple(examples) or tuple(self.examples),
            "alone": alone,
        }
        return self.app.command(name, cls=type("Command", (_Command,), attributes), context_settings=SETTINGS)

    def main(self, arguments: Sequence[str] | None = None) -> NoReturn:
        """Run the command line, by default with the arguments of the process. It always ends by SystemExit."""
        startup.interruptible()
        self.app(args=None if arguments is None else list(arguments), prog_name=self.name)
        raise SystemExit(0)


SETTINGS = {"help_option_names": ["-h", "--help"]}


class _Ends:
    """How a command of typer ends: all errors are reported in one form, with an exit status."""

    program: Program

    def main(self, *positional: Any, standalone_mode: bool = True, **named: Any) -> Any:
        """Run the command and exit."""
        try:
            status = super().main(*positional, standalone_mode=False, **named)  # type: ignore[misc]
        except TYPER_USAGE_ERROR as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # nothing was given, and something is needed
                typer.echo(error.ctx.get_help())
                raise SystemExit(2) from None
            _fail(f"{_sentence(error)} ({self.program.name} --help tells more)", 2)
        except UsageError as error:
            _fail(str(error), 2)
        except MoebiusError as error:
            _fail(worded(error, partial(on_command_line, options=options_of(self))), self.program.status)
        except MemoryError:
            _fail("not enough memory: close other programs, or use a smaller photo", self.program.status)
        except (KeyboardInterrupt, typer.Abort):
            raise SystemExit(INTERRUPTED) from None
        raise SystemExit(status if isinstance(status, int) else 0)


class _Command(_Ends, TyperCommand):
    most_used: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    alone = False

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.no_args_is_help = not self.alone

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of `cli.help`."""
        parameters = self.get_params(ctx)
        words = [_in_usage(p) for p in parameters if p.param_type_name == "argument"]
        words += [
            f"{min(p.opts, key=len)} {p.metavar}" for p in parameters if p.required and p.param_type_name == "option"
        ]
        usage = " ".join([ctx.command_path, *words, "[options]"])
        about = self.help if ctx.parent else self.program.about
        formatter.write(help_text(usage, about or "", self.examples, parameters, self.most_used))
        if self.program.see_also and not ctx.parent:
            formatter.write("\n" + listed("Other commands, each with its own --help", self.program.see_also) + "\n")

    def get_help_option(self, ctx: Any) -> Any:
        """-h and --help, in our words."""
        return _help_option(super().get_help_option(ctx))


class _Group(_Ends, TyperGroup):
    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.no_args_is_help = True

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write what the program does, and list its commands."""
        rows = [(name, (command.help or "").split("\n\n")[0]) for name, command in self.commands.items()]
        usage = f"Usage: {ctx.command_path} COMMAND"
        examples = "Examples:\n" + "\n".join(f"  {example}" for example in self.program.examples)
        parts = [usage, *paragraphs(self.program.about), examples, listed("Commands, each with its own --help", rows)]
        formatter.write("\n\n".join(parts) + "\n")

    def get_help_option(self, ctx: Any) -> Any:
        """-h and --help, in our words."""
        return _help_option(super().get_help_option(ctx))


def _help_option(option: Any) -> Any:
    option.help, option.metavar, option.rich_help_panel = "Show this and exit.", "", INFORMATION
    return option


def _in_usage(argument: Any) -> str:
    name = argument.metavar or argument.name
    name = f"{name}..." if argument.nargs != 1 else name
    return name if argument.required else f"[{name}]"


def _sentence(error: Any) -> str:
    """An error message of typer in the form of ours: no capital, no full stop, no line ends."""
    if hasattr(error, "possibilities"):
        meant = " or ".join(error.possibilities or ())
        return f"there is no option {error.option_name}" + (f": did you mean {meant}?" if meant else "")
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _fail(sentence: str, status: int) -> NoReturn:
    """Print an error, without characters that would move a terminal's cursor, and exit."""
    print(f"error: {printable(sentence)}", file=sys.stderr)
    raise SystemExit(status)
