"""The browser that pages are tested in. `python3 tests/support/browser.py` prints where it is, or how to get one."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
APPLICATIONS = ("Google Chrome", "Chromium")  # on a Mac
CACHES = ("Library/Caches" if sys.platform == "darwin" else ".cache", "ms-playwright")


def installed() -> str | None:
    """The program of Chromium or Google Chrome, where the system has one.

    Not a snap, such as Ubuntu's: it does not see the files of other programs.
    """
    bundles = [
        folder / f"{name}.app/Contents/MacOS/{name}"
        for folder in (Path("/Applications"), Path.home() / "Applications")
        for name in APPLICATIONS
    ]
    found = [*filter(None, map(shutil.which, NAMES)), *(str(path) for path in bundles if path.is_file())]
    return next((path for path in found if not path.startswith("/snap/")), None)


def chromium() -> str | None:
    """The program to start; None for the one that Playwright has downloaded, and knows where.

    Raises FileNotFoundError, with what to do, when there is neither.
    """
    if found := installed():
        return found
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home().joinpath(*CACHES))
    if any(folder.glob("chromium*/INSTALLATION_COMPLETE")):
        return None
    raise FileNotFoundError(
        "pages are tested in Chromium or Google Chrome, and there is neither (sh examples/system.sh tests installs one)"
    )


if __name__ == "__main__":
    try:
        print(chromium() or "Playwright's own")
    except FileNotFoundError as error:
        sys.exit(str(error))
