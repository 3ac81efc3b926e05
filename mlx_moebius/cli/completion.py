"""Scripts with which a shell completes our commands without starting Python, which would take a second per key.

eval "$(mlx-moebius completion bash)"      in ~/.bashrc; with zsh in ~/.zshrc
mlx-moebius completion fish | source       in ~/.config/fish/config.fish
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer.main

ONE = "mlx-moebius"
DEFAULT = "generate"  # the command that `mlx-moebius` runs when none is named
SHELLS = ("bash", "zsh", "fish")

BASH = """_mlx_moebius() {{
  local command={default} words= current=${{COMP_WORDS[COMP_CWORD]}}
  case ${{COMP_WORDS[0]##*/}} in
    mlx_moebius.*) command=${{COMP_WORDS[0]##*mlx_moebius.}} ;;
    *) if [ $COMP_CWORD = 1 ]; then words="{commands}"; fi
       case ${{COMP_WORDS[1]}} in {pattern}) command=${{COMP_WORDS[1]}} ;; esac ;;
  esac
  case "$command ${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
    *) case "$command $current" in
{options}
       esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _mlx_moebius {scripts}
"""
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


class Word(NamedTuple):
    """An option: its names, the words that may be its value, whether it has a value, and the start of its help."""

    names: tuple[str, ...]
    choices: tuple[str, ...]
    has_value: bool
    about: str


def script(shell: str, apps: Mapping[str, typer.Typer]) -> str:
    """The script for one of SHELLS, for our commands by name."""
    commands = {name: typer.main.get_command(app) for name, app in apps.items()}
    options = {name: _options(command) for name, command in commands.items()}
    inner = {name: " ".join(command.commands) for name, command in commands.items() if hasattr(command, "commands")}
    if shell == "fish":
        return _fish(options, inner)
    values = [
        f'    "{command} {name}") words="{" ".join(option.choices)}" ;;'
        for command, found in options.items()
        for option in found
        for name in option.names
        if option.choices
    ]
    values += [
        f'    "{command} {command}"|"{command} "*.{command}) words="{words}" ;;' for command, words in inner.items()
    ]
    every = {command: " ".join(name for option in found for name in option.names) for command, found in options.items()}
    text = BASH.format(
        default=DEFAULT,
        commands=" ".join(apps),
        pattern="|".join(apps),
        values="\n".join(values),
        options="\n".join(f'         "{command} -"*) words="{names}" ;;' for command, names in every.items()),
        scripts=" ".join([ONE, *(f"mlx_moebius.{name}" for name in apps)]),
    )
    return ZSH + text if shell == "zsh" else text


def _options(command: Any) -> list[Word]:
    """The options of a command and of its subcommands."""
    found = {}
    for part in [command, *getattr(command, "commands", {}).values()]:
        for parameter in part.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                metavar = parameter.metavar or ""
                words = tuple(word for word in metavar.split("|") if not word.isupper()) if "|" in metavar else ()
                about = re.split(r"[.;:(\[]", parameter.help or "")[0].strip()
                names = (*parameter.opts, *parameter.secondary_opts)
                found[parameter.name] = Word(names, words, bool(metavar), about)
    return [*found.values(), Word(("--help", "-h"), (), False, "Show the help")]


def _fish(options: Mapping[str, list[Word]], inner: Mapping[str, str]) -> str:
    others = " ".join(name for name in options if name != DEFAULT)
    lines = [f"complete -c {ONE} -n __fish_is_first_token -a '{' '.join(options)}'"]
    for command, found in options.items():
        seen = (
            f"not __fish_seen_subcommand_from {others}"
            if command == DEFAULT
            else f"__fish_seen_subcommand_from {command}"
        )
        for start in (f"complete -c {ONE} -n '{seen}'", f"complete -c mlx_moebius.{command}"):
            if command in inner:
                lines.append(f"{start} -x -a '{inner[command]}'")
            for option in found:
                names = " ".join(f"-l {name[2:]}" if name[:2] == "--" else f"-s {name[1:]}" for name in option.names)
                value = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r" if option.has_value else ""
                about = option.about.replace("'", "\\'")
                lines.append(f"{start} {names}{value} -d '{about}'")
    return "\n".join(lines) + "\n"
