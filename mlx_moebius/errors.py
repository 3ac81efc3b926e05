"""The one exception that users are meant to read."""

from __future__ import annotations


class MoebiusError(Exception):
    """Bad input or an impossible request: one line that says what is wrong and what to do."""
