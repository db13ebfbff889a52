"""Sharing artifacts on the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from attar.artifact import Artifact
from attar.artifact.card import check_license
from attar.artifact.remote import hub_errors, parse_address
from attar.errors import UsageError
from attar.settings import Record

__all__ = ["REMINDER", "PushRecord", "push"]

REMINDER = "samples can reveal the real data and the persons in them; no anonymity is implied"
"""What everybody is told who publishes a set."""


class PushRecord(Record):
    """What was published.

    Attributes:
        repo: Owner and name of the data set.
        url: Its page.
        commit: Address of the commit.
        private: Whether it was asked to be private.
        license: License that the card names.
        note: What to keep in mind.
    """

    repo: str
    url: str
    commit: str
    private: bool
    license: str
    note: str = REMINDER


def push(
    artifact: Artifact, repo: str, *, private: bool = False, license: str = "", message: str = ""
) -> PushRecord:
    """Publish an artifact as a data set on the Hugging Face Hub, with its card.

    The token is the one of ``hf auth login`` or ``HF_TOKEN``. What :func:`attar.load` reads from
    ``hf://user/name`` is the same set. Samples can reveal the real ones: no anonymity is implied.

    Args:
        artifact: The set.
        repo: Owner and name, as ``user/name``; made if there is none.
        private: Whether only its owner may see it.
        license: License that the card names, an identifier of the Hub; by default that of the
            real data.
        message: What the commit is called.

    Raises:
        UsageError: If the name or the license is none, nobody is logged in, a data set that is to
            be private is public, or the Hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    address = parse_address(repo)
    if address.revision:
        raise UsageError(f"{repo!r} names a revision; publish to {address.repo!r}")
    if license:
        check_license(license)
    api = HfApi()
    with tempfile.TemporaryDirectory(prefix="attar-") as place, hub_errors(address.repo, "publish"):
        folder = artifact.save(Path(place) / "artifact", license=license)
        # None leaves the choice to the owner's settings, which may make everything private.
        api.create_repo(address.repo, repo_type="dataset", private=private or None, exist_ok=True)
        if private and not api.repo_info(address.repo, repo_type="dataset").private:
            raise UsageError(
                f"the data set {address.repo!r} exists and is public; choose another name, or make it "
                f"private on the Hub first"
            )
        commit = api.upload_folder(
            repo_id=address.repo,
            folder_path=folder,
            repo_type="dataset",
            commit_message=message or f"A set of {artifact.manifest.size.decoded:,} samples",
        )
    return PushRecord(
        repo=address.repo,
        url=f"https://huggingface.co/datasets/{address.repo}",
        commit=str(commit.commit_url),
        private=private,
        license=license or artifact.manifest.data.license,
    )
