"""The browser that pages are tested in. `python3 tests/support/browser.py` prints where it is."""

import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = ("Google Chrome", "Chromium")  # on a Mac


def chromium() -> str:
    """The program of Chromium or Google Chrome. Raises FileNotFoundError, with what to do, when there is neither."""
    bundles = [
        folder / f"{name}.app/Contents/MacOS/{name}"
        for folder in (Path("/Applications"), Path.home() / "Applications")
        for name in APPLICATIONS
    ]
    found = [*filter(None, map(shutil.which, NAMES)), *(str(path) for path in bundles if path.is_file())]
    if not found:
        raise FileNotFoundError(
            "pages are tested in Chromium or Google Chrome: apt install chromium (on a Mac: "
            "brew install --cask google-chrome)"
        )
    return found[0]


if __name__ == "__main__":
    try:
        print(chromium())
    except FileNotFoundError as error:
        sys.exit(str(error))
