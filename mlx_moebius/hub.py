"""Downloads from the Hugging Face hub, which are resumed after a break and checked by their checksums, and uploads.

Only downloads and uploads import this module: a converted model is used without the hub's client.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_token, hf_hub_url, try_to_load_from_cache
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

from mlx_moebius.files import digest

# The base class of the client's transport errors: it is from httpx or requests, depending on the client's version.
TRANSPORT_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
INVALID_URL: type[Exception] = importlib.import_module(TRANSPORT_ERROR.__module__.partition(".")[0]).InvalidURL

SHA256 = re.compile("[0-9a-f]{64}")
GIT_BLOB = re.compile("[0-9a-f]{40}")

Report = Callable[[str], None]
Answer = TypeVar("Answer")

_refused: set[str] = set()  # tokens that the hub has refused in this process


class UnavailableError(Exception):
    """A file or repository cannot be had: `what` names it, `reason` says why."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what, self.reason = what, reason


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit: the names of its files, and the licence that its card states ("" if none)."""

    name: str
    commit: str
    files: frozenset[str]
    licence: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file that was downloaded and checked. `etag` is the checksum that the hub states."""

    repository: str
    commit: str
    name: str
    size: int
    etag: str
    sha256: str


def endpoint() -> str:
    """The address of the hub, or of the mirror that HF_ENDPOINT names."""
    return constants.ENDPOINT


def look_up(name: str, revision: str, report: Report, needed: tuple[str, ...] = ()) -> Repository:
    """Look up the repository `name` ("organisation/name") at a branch, tag or commit.

    The hub is not asked where `revision` is a commit and all `needed` files lie in the client's cache. A token that the
    hub refuses is not used again, and that is reported. Raises UnavailableError.
    """
    if needed and GIT_BLOB.fullmatch(revision) and all(_in_cache(name, revision, file) for file in needed):
        return Repository(name, revision, frozenset(needed), "")
    with _reasons(f"{name} {' and '.join(needed) or 'its files'}", revision):
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = _ask(lambda token: HfApi(token=token).model_info(name, revision=revision, timeout=timeout), report)
        if not info.sha:
            raise UnavailableError(name, f"{endpoint()} does not answer like the hub")
        licence = info.card_data.get("license") if info.card_data else None
        files = frozenset(file.rfilename for file in info.siblings or ())
        return Repository(name, info.sha, files, str(licence or ""))


def fetch(repository: Repository, name: str, folder: Path, report: Report) -> HubFile:
    """Download a file to `folder / name`, going on where an earlier attempt broke off.

    Where the client's cache has the file, it is linked. A download gets its name only when size and checksum are right:
    SHA-256 for large files, Git's blob hash for small ones. Raises UnavailableError.
    """
    what = f"{repository.name} {name}"
    if name not in repository.files:
        raise UnavailableError(what, f"no such file in the repository (404 at commit {repository.commit[:12]})")
    path = folder / name
    with _reasons(what, repository.commit):
        path.parent.mkdir(parents=True, exist_ok=True)
        if (cached := _in_cache(repository.name, repository.commit, name)) and _is_whole(cached):
            report(f"{what} is in the hub's own cache")
            path.unlink(missing_ok=True)
            path.symlink_to(cached)
            return _described(repository, name, path, cached.name)
        url = hf_hub_url(repository.name, name, revision=repository.commit)
        told = get_hf_file_metadata(url, token=_token())
        if told.size is None or not told.etag:
            raise UnavailableError(what, f"{endpoint()} tells neither its size nor its checksum")
        if not (path.exists() and path.stat().st_size == told.size and _checksum(path, told.etag) == told.etag):
            part = path.with_name(f"{path.name}.{re.sub(r'[^0-9A-Za-z]', '', told.etag)[:64]}.part")
            _download(what, url, part, told.size, report)
            if (found := _checksum(part, told.etag)) != told.etag:
                part.unlink()
                raise UnavailableError(what, f"wrong checksum: it is {found}, the hub says {told.etag}; try again")
            part.replace(path)
        return _described(repository, name, path, told.etag)


def upload(folder: Path, repository: str) -> str:
    """Upload a folder's files to `repository` in one commit. The repository is created if need be.

    Returns the address of the commit. Raises UnavailableError.
    """
    with _reasons(repository, "main"):
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model for MLX").commit_url)


def _token() -> bool | None:
    """The `token` argument of the client: None means the user's token, False (after a refusal) means no token."""
    return False if get_token() in _refused else None


def _ask(ask: Callable[[bool | None], Answer], report: Report) -> Answer:
    """Ask the hub, and ask again without the user's token where the hub refuses it.

    The hub answers 401 to an expired token, even for what is public.
    """
    token = get_token()
    try:
        return ask(_token())
    except HfHubHTTPError as error:
        if error.response.status_code != 401 or token is None or token in _refused:
            raise
        answer = ask(False)
    _refused.add(token)
    report(f"{endpoint()} refuses your token (expired?); going on without it. `hf auth login` renews it")
    return answer


def _in_cache(repository: str, commit: str, name: str) -> Path | None:
    """A file in the client's cache, whose name is its checksum; None where it is not there."""
    found = try_to_load_from_cache(repository, name, revision=commit)
    return Path(found).resolve() if isinstance(found, str) else None


def _is_whole(cached: Path) -> bool:
    """Whether a file of the client's cache has the checksum that is its name."""
    known = SHA256.fullmatch(cached.name) or GIT_BLOB.fullmatch(cached.name)
    return known is not None and _checksum(cached, cached.name) == cached.name


def _described(repository: Repository, name: str, path: Path, etag: str) -> HubFile:
    sha256 = etag if SHA256.fullmatch(etag) else digest(path, hashlib.sha256())
    return HubFile(repository.name, repository.commit, name, path.stat().st_size, etag, sha256)


def _download(what: str, url: str, part: Path, size: int, report: Report) -> None:
    """Download the rest of `part`, up to its full size."""
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
        # The client would not resume a partial file in the next process. Our `.part` file is resumed.
        with part.open("ab") as file:
            headers = build_hf_headers(token=_token()) | {"Accept-Encoding": "identity"}
            http_get(url, file, resume_size=have, headers=headers, displayed_filename=part.name.split(".")[0])
    if (found := part.stat().st_size) != size:
        part.unlink()
        raise UnavailableError(what, f"wrong size: {found} bytes came, the hub says {size}; try again")


def _checksum(path: Path, etag: str) -> str:
    """A file's checksum of the same kind as `etag`; `etag` itself where its kind is unknown (some mirrors)."""
    if SHA256.fullmatch(etag):
        return digest(path, hashlib.sha256())
    if GIT_BLOB.fullmatch(etag):
        return digest(path, hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False))
    return etag


def megabytes(size: int) -> str:
    """A file size as text for people."""
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
        token = " that your token does not open (`hf auth login` renews it)" if get_token() else ""
        reason = f"no such repository, or a private one{token} (HTTP {error.response.status_code})"
        raise UnavailableError(what, reason) from None
    except RevisionNotFoundError:
        raise UnavailableError(what, f"the repository has no revision {revision!r} (HTTP 404)") from None
    except EntryNotFoundError:
        raise UnavailableError(what, "no such file in the repository (HTTP 404)") from None
    except HfHubHTTPError as error:
        login = ": log in with `hf auth login`" if error.response.status_code == 401 else ""
        raise UnavailableError(what, f"{endpoint()} answers HTTP {error.response.status_code}{login}") from None
    except ImportError:
        reason = "ALL_PROXY names a SOCKS proxy, which needs one more package: pip install socksio"
        raise UnavailableError(what, reason) from None
    except (ValueError, INVALID_URL) as error:  # a name that no repository can have, a proxy's address that is none
        raise UnavailableError(what, f"cannot ask {endpoint()} ({_line(error)})") from None
    except (TRANSPORT_ERROR, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UnavailableError(what, "no space left on the disk") from None
        if isinstance(error, OSError) and error.filename:
            raise UnavailableError(what, f"cannot write {error.filename}: {error.strerror}") from None
        raise UnavailableError(what, f"offline, or {endpoint()} cannot be reached ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
