"""Files from the Hugging Face hub, resumed after a break and checked against what it says they are; and to it.

Only downloads and uploads go through here; whoever has a converted model never imports this module's client.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

# Root of the client's transport errors: of httpx or requests, as its version has it.
TRANSPORT_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]

SHA256 = re.compile("[0-9a-f]{64}")
GIT_BLOB = re.compile("[0-9a-f]{40}")

Report = Callable[[str], None]


class UnavailableError(Exception):
    """A file or repository cannot be had: `what` names it, `reason` says why."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what, self.reason = what, reason


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit: the names of its files and the licence that its card states ("" if none)."""

    name: str
    commit: str
    files: frozenset[str]
    licence: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file that was downloaded and checked; `etag` is the hub's own checksum of it."""

    repository: str
    commit: str
    name: str
    size: int
    etag: str
    sha256: str


def endpoint() -> str:
    """Address of the hub, or of the mirror that HF_ENDPOINT names."""
    return constants.ENDPOINT


def look_up(name: str, revision: str, wanted: str = "its files") -> Repository:
    """The repository `name` ("organisation/name") at a branch, tag or commit; `wanted` is for the message.

    Raises UnavailableError.
    """
    with _reasons(f"{name} {wanted}", revision):
        info = HfApi().model_info(name, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        if not info.sha:
            raise UnavailableError(name, f"{endpoint()} does not answer like the hub")
        licence = info.card_data.get("license") if info.card_data else None
        files = frozenset(file.rfilename for file in info.siblings or ())
        return Repository(name, info.sha, files, str(licence or ""))


def fetch(repository: Repository, name: str, folder: Path, report: Report) -> HubFile:
    """Download `name` to `folder / name`, from where an earlier attempt broke off.

    The file takes its name only when size and checksum are the hub's: SHA-256 for large files, Git's blob hash for
    small ones. Raises UnavailableError.
    """
    what = f"{repository.name} {name}"
    if name not in repository.files:
        raise UnavailableError(what, f"no such file in the repository (404 at commit {repository.commit[:12]})")
    with _reasons(what, repository.commit):
        url = hf_hub_url(repository.name, name, revision=repository.commit)
        told = get_hf_file_metadata(url)
        if told.size is None or not told.etag:
            raise UnavailableError(what, f"{endpoint()} tells neither its size nor its checksum")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.exists() and path.stat().st_size == told.size and _checksum(path, told.etag) == told.etag):
            part = path.with_name(f"{path.name}.{re.sub(r'[^0-9A-Za-z]', '', told.etag)[:64]}.part")
            _download(what, url, part, told.size, report)
            if (found := _checksum(part, told.etag)) != told.etag:
                part.unlink()
                raise UnavailableError(what, f"wrong checksum: it is {found}, the hub says {told.etag}; try again")
            part.replace(path)
        sha256 = told.etag if SHA256.fullmatch(told.etag) else _hash(path, hashlib.sha256())
        return HubFile(repository.name, repository.commit, name, told.size, told.etag, sha256)


def upload(folder: Path, repository: str) -> str:
    """Put a folder's files into `repository` in one commit, making the repository if need be; the commit's address.

    Raises UnavailableError.
    """
    with _reasons(repository, "main"):
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model for MLX").commit_url)


def _download(what: str, url: str, part: Path, size: int, report: Report) -> None:
    """Bring `part` to its full size."""
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(part.parent).free
    if have > size:
        part.unlink()
        have = 0
    if free < size - have:
        raise UnavailableError(what, f"no space: {megabytes(size - have)} to go, {megabytes(free)} free on the disk")
    resumed = f", of which {megabytes(have)} are here already" if have else ""
    report(f"downloading {what} ({megabytes(size)}{resumed}) from {endpoint()}")
    if have < size:
        # The client forgets a partial file when its process ends; with a file of our own it resumes in the next one.
        with part.open("ab") as file:
            headers = build_hf_headers() | {"Accept-Encoding": "identity"}
            http_get(url, file, resume_size=have, headers=headers, displayed_filename=part.name.split(".")[0])
    if (found := part.stat().st_size) != size:
        part.unlink()
        raise UnavailableError(what, f"wrong size: {found} bytes came, the hub says {size}; try again")


def _checksum(path: Path, etag: str) -> str:
    """The file's checksum of the kind that `etag` is; `etag` itself when it is of no known kind (some mirrors)."""
    if SHA256.fullmatch(etag):
        return _hash(path, hashlib.sha256())
    if GIT_BLOB.fullmatch(etag):
        return _hash(path, hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False))
    return etag


def _hash(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def megabytes(size: int) -> str:
    """A file size for people."""
    if size < 1e5:
        return f"{size:,} bytes"
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"


@contextmanager
def _reasons(what: str, revision: str) -> Iterator[None]:
    """Turn the client's and the system's errors into UnavailableError."""
    try:
        yield
    except OfflineModeIsEnabled:
        raise UnavailableError(what, "offline: HF_HUB_OFFLINE is set") from None
    except GatedRepoError as error:
        page = f"{endpoint()}/{what.split()[0]}"
        reason = (
            f"gated (HTTP {error.response.status_code}): accept its terms at {page} and log in with `hf auth login`"
        )
        raise UnavailableError(what, reason) from None
    except RepositoryNotFoundError as error:
        reason = f"no such repository, or a private one (HTTP {error.response.status_code})"
        raise UnavailableError(what, reason) from None
    except RevisionNotFoundError:
        raise UnavailableError(what, f"the repository has no revision {revision!r} (HTTP 404)") from None
    except EntryNotFoundError:
        raise UnavailableError(what, "no such file in the repository (HTTP 404)") from None
    except HfHubHTTPError as error:
        raise UnavailableError(what, f"{endpoint()} answers HTTP {error.response.status_code}") from None
    except (TRANSPORT_ERROR, OSError) as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UnavailableError(what, "no space left on the disk") from None
        if isinstance(error, OSError) and error.filename:
            raise UnavailableError(what, f"cannot write {error.filename}: {error.strerror}") from None
        raise UnavailableError(what, f"offline, or {endpoint()} cannot be reached ({text})") from None
