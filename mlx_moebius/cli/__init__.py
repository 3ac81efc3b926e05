"""What the six command lines share: how an option is read, what `--help` shows, how a command runs and fails.

`command` makes a command of a function, `values` makes its options, `flags` words remedies as flags. `help` and
`completion` write help texts and shell scripts. May import errors, files, schema and startup.
"""
