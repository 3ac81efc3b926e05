"""What the six command lines share: how an option is read, what `--help` shows, how a command runs and fails.

`command` is the factory that makes a command of a function, `values` makes its options, `options` has those that more
than one command takes. `help` and `completion` write what they say. May import schema and errors, nothing else.
"""
