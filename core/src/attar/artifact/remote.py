"""Artifacts on the Hugging Face Hub: fetching them, and what the Hub refuses in one sentence."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attar.cache import cache_root
from attar.errors import UsageError
from attar.files import disk_errors

__all__ = ["SCHEME", "Address", "download", "hub_errors", "is_remote", "parse_address"]

SCHEME = "hf://"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"


@dataclass(frozen=True)
class Address:
    """A data set on the Hub.

    Attributes:
        repo: Owner and name, as ``user/name``.
        revision: Branch, tag or commit; "" for the newest.
    """

    repo: str
    revision: str = ""


def is_remote(path: str | Path) -> bool:
    """Return whether an artifact is named by its address on the Hub."""
    return isinstance(path, str) and path.startswith(SCHEME)


def parse_address(text: str) -> Address:
    """Return what ``hf://user/name@revision`` or ``user/name`` means.

    Raises:
        UsageError: If it is no such address.
    """
    found = re.fullmatch(rf"(?:hf://)?({_NAME}/{_NAME})(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?", text)
    if found is None or ".." in text or "--" in found[1]:
        raise UsageError(f"{text!r} is no address on the Hub; write it as hf://user/name")
    return Address(found[1], found[2] or "")


@contextmanager
def hub_errors(repo: str, doing: str) -> Iterator[None]:
    """Turn what the Hub refuses, or that it cannot be reached, into one sentence.

    Args:
        repo: Owner and name of the data set.
        doing: What is tried, such as ``download``.
    """
    from huggingface_hub import errors

    where = f"cannot {doing} {repo!r}:"
    try:
        yield
    except errors.GatedRepoError as error:
        raise UsageError(
            f"{where} its owners grant access one by one; ask for it on "
            f"https://huggingface.co/datasets/{repo} and log in with 'hf auth login'"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(f"{where} it has no such revision; name a branch, a tag or a commit") from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"{where} the Hub has no such data set, or it is private; check the name, or log in with "
            f"'hf auth login'"
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise UsageError(f"{where} nobody is logged in; run 'hf auth login', or set HF_TOKEN") from error
    except errors.HfHubHTTPError as error:
        raise UsageError(f"{where} {_answer(error)}") from error
    except _unreachable() as error:
        raise UsageError(
            f"{where} the Hub cannot be reached; check the connection (and that HF_HUB_OFFLINE is not set)"
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{where} {str(error).splitlines()[0]}") from error


def _unreachable() -> tuple[type[Exception], ...]:
    """Return what is raised where no answer comes: newer versions ask by httpx, older by requests."""
    from huggingface_hub import errors

    found: list[type[Exception]] = [errors.LocalEntryNotFoundError, ConnectionError, TimeoutError]
    for library, names in (("httpx", ("TransportError",)), ("requests", ("ConnectionError", "Timeout"))):
        if library in sys.modules:
            found += [getattr(sys.modules[library], name) for name in names]
    return tuple(found)


def _answer(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the Hub does not know who asks; run 'hf auth login', or set HF_TOKEN"
    if status == 403:
        return "the token that is used does not permit it; make one with write access"
    said = str(getattr(error, "server_message", None) or error).strip().splitlines() or ["no reason"]
    return f"the Hub refused ({said[0]}); try again later"


def download(address: str, files: Sequence[str]) -> Path:
    """Fetch an artifact from the Hub into the cache folder and return where it lies.

    What was fetched before is used again, also where the Hub cannot be reached.

    Args:
        address: As :func:`parse_address` takes it.
        files: Names of the files wanted; nothing else is fetched.

    Raises:
        UsageError: If the data set is unknown or gated, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    found = parse_address(address)
    # The hash shows that the folder is the cache's, which may lie beside a user's own.
    digest = hashlib.blake2b(found.repo.encode(), digest_size=16).hexdigest()
    name = f"{found.repo.replace('/', '--')}-{digest}"
    # Not the Hub's own cache: it is made of links, and links that leave an artifact are refused.
    place = cache_root() / "hub" / name / (found.revision.replace("/", "--") or "newest")
    with disk_errors(place), hub_errors(found.repo, "download"):
        snapshot_download(
            found.repo,
            repo_type="dataset",
            revision=found.revision or None,
            local_dir=place,
            allow_patterns=list(files),
        )
    return place
