"""The one exception that users are meant to read."""


class MoebiusError(Exception):
    """Bad input or an impossible request: one line that says what is wrong and what to do.

    The command lines print it without a traceback and exit with a non-zero status.
    """
