"""Do wheel and sdist hold every tracked file that belongs in them, and nothing else? `.ci/check_dist.py dist/*`."""

import subprocess
import sys
import tarfile
import zipfile

LINK = "mlx_moebius/convert"  # in a checkout a link to convert/
LICENCES = {"LICENSE", "docs/nano_licence.md", "docs/training_photos.csv"}


def tracked(folder: str) -> set[str]:
    """The files of a folder that git knows."""
    done = subprocess.run(["git", "ls-files", folder], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


package = (tracked("mlx_moebius") - {LINK}) | {f"mlx_moebius/{name}" for name in tracked("convert")}
for path in sys.argv[1:]:
    if path.endswith(".whl"):
        wanted = package | LICENCES
        with zipfile.ZipFile(path) as wheel:
            parts = {name: name.partition(".dist-info/") for name in wheel.namelist()}
        held = {name for name, (_, made, _) in parts.items() if not made}
        held |= {name.removeprefix("licenses/") for _, _, name in parts.values() if name.startswith("licenses/")}
    else:  # the sources of the package alone; tests run in a checkout
        wanted = package | {"README.md", "pyproject.toml", *LICENCES}
        made = {"PKG-INFO", ".gitignore"}  # put in by hatchling
        with tarfile.open(path) as sdist:
            names = [member.name.partition("/")[2] for member in sdist if not member.isdir()]
        held = {name for name in names if name.split("/")[0] not in made}
    wrong = [f"missing: {name}" for name in sorted(wanted - held)]
    wrong += [f"unexpected: {name}" for name in sorted(held - wanted)]
    print(f"{path}:", "\n".join(wrong) or f"{len(held)} files, as tracked")
    if wrong:
        sys.exit(1)
