"""Does a wheel hold every tracked file of the package, and nothing else? `python .ci/check_wheel.py dist/*.whl`."""

import subprocess
import sys
import zipfile

LINK = "mlx_moebius/convert"  # in a checkout a link to convert/


def tracked(folder: str) -> set[str]:
    """The files of a folder that git knows."""
    done = subprocess.run(["git", "ls-files", folder], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


wanted = (tracked("mlx_moebius") - {LINK}) | {f"mlx_moebius/{name}" for name in tracked("convert")}
with zipfile.ZipFile(sys.argv[1]) as wheel:
    held = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
wrong = [f"missing: {name}" for name in sorted(wanted - held)]
wrong += [f"unexpected: {name}" for name in sorted(held - wanted)]
print("\n".join(wrong) or f"{len(held)} files, as tracked")
sys.exit(bool(wrong))
