"""The options of all commands, as annotated types: one module per command; `common` has what several commands take.

A type gives an option's names, its allowed values, its default and its help. Allowed values and defaults mostly come
from the dataclass that the option sets. Begin with `cli.values`. May import everything but the commands.
"""
