"""What each command may be asked for: annotated types, a module a command; `common` has what several take.

A type says how an option is written, what its value may be, its default, and what `--help` tells. Values and defaults
mostly come from the dataclass that the option sets. Begin with `cli.values`. May import everything but the commands.
"""
