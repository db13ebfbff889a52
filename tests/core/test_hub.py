"""The Hugging Face Hub, whose functions are replaced: no test reaches it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import attar
import huggingface_hub
import pytest
from attar.artifact.remote import Address, parse_address
from attar.errors import UsageError
from attar.hub import REMINDER
from attar.testing.compare import same_batch
from huggingface_hub import errors

httpx = pytest.importorskip("httpx", reason="this version of huggingface_hub asks by another library")


@pytest.fixture(scope="module")
def artifact():
    return attar.distill(attar.task("tensor", data="iris"), method="random", ipc=2)


@pytest.fixture
def remote(artifact, tmp_path, monkeypatch):
    """The Hub, with one artifact on it."""
    folder = artifact.save(tmp_path / "remote")

    def fetch(repo_id, **given):
        shutil.copytree(folder, given["local_dir"], dirs_exist_ok=True)
        return str(given["local_dir"])

    fake = create_autospec(huggingface_hub.snapshot_download, side_effect=fetch)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    return fake


@pytest.fixture
def api(monkeypatch):
    """The Hub that is written to."""
    fake = create_autospec(huggingface_hub.HfApi, instance=True)
    fake.uploaded = {}

    def upload(*, folder_path, **given):
        fake.uploaded.update({path.name: path.read_bytes() for path in Path(folder_path).iterdir()})
        return SimpleNamespace(commit_url="https://huggingface.co/datasets/u/n/commit/1")

    fake.upload_folder.side_effect = upload
    fake.repo_info.return_value = SimpleNamespace(private=True)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    return fake


def test_a_set_is_loaded_from_the_hub(remote, artifact):
    loaded = attar.load("hf://user/my.set-1")
    assert same_batch(loaded.decode(), artifact.decode())
    (repo,), given = remote.call_args
    assert (repo, given["repo_type"], given["revision"]) == ("user/my.set-1", "dataset", None)
    assert set(given["allow_patterns"]) == {
        "data.safetensors",
        "manifest.json",
        "README.md",
        "recipe.toml",
        "preview.png",
    }


def test_revisions_are_kept_apart(remote):
    attar.load("hf://user/name")
    attar.load("hf://user/name@v1.0")
    attar.load("hf://user/name@refs/pr/2")
    places = [call.kwargs["local_dir"] for call in remote.call_args_list]
    assert [call.kwargs["revision"] for call in remote.call_args_list] == [None, "v1.0", "refs/pr/2"]
    assert len(set(places)) == 3
    assert all(place.parent == places[0].parent for place in places)


def test_what_was_fetched_is_checked_like_any_artifact(remote, tmp_path):
    (tmp_path / "remote" / "data.safetensors").write_bytes(b"\xff" * 99)
    with pytest.raises(UsageError, match=r"data\.safetensors is damaged"):
        attar.load("hf://user/name")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://a/b", Address("a/b")),
        ("user-1/x_y.z", Address("user-1/x_y.z")),
        ("hf://a/b@main", Address("a/b", "main")),
        ("hf://a/b@refs/pr/1", Address("a/b", "refs/pr/1")),
    ],
)
def test_addresses(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    ["hf://a", "hf://a/b/c", "hf:///b", "hf://a/..", "hf://a/b@", "hf://a/b@../x", "hf://a b/c", "a--b/c"],
)
def test_what_is_no_address_is_refused(text, remote):
    with pytest.raises(UsageError, match="is no address on the Hub; write it as hf://user/name"):
        parse_address(text)
    if text.startswith("hf://"):
        with pytest.raises(UsageError, match="is no address on the Hub"):
            attar.load(text)
    assert not remote.called


def answer(status):
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.invalid/x"))


REFUSALS = {
    "offline": (
        errors.LocalEntryNotFoundError("no snapshot"),
        "the Hub cannot be reached; check the connection",
    ),
    "switched off": (errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE"),
    "no network": (httpx.ConnectError("refused"), "the Hub cannot be reached"),
    "timeout": (httpx.ReadTimeout("slow"), "the Hub cannot be reached"),
    "unknown": (
        errors.RepositoryNotFoundError("404", response=answer(404)),
        "the Hub has no such data set, or it is private; check the name, or log in with 'hf auth login'",
    ),
    "gated": (
        errors.GatedRepoError("403", response=answer(403)),
        "grant access one by one; ask for it on https://huggingface.co/datasets/user/name and log in",
    ),
    "revision": (errors.RevisionNotFoundError("404", response=answer(404)), "it has no such revision"),
    "no token": (errors.LocalTokenNotFoundError("no token"), "nobody is logged in; run 'hf auth login'"),
    "wrong token": (errors.HfHubHTTPError("401", response=answer(401)), "the Hub does not know who asks"),
    "weak token": (errors.HfHubHTTPError("403", response=answer(403)), "make one with write access"),
    "trouble": (
        errors.HfHubHTTPError("500 oops\nmore", response=answer(500)),
        r"the Hub refused \(500 oops\)",
    ),
    "validation": (errors.HFValidationError("bad name"), "cannot .* 'user/name': bad name"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_is_a_sentence(remote, api, artifact, case):
    error, said = REFUSALS[case]
    remote.side_effect = api.create_repo.side_effect = error
    with pytest.raises(UsageError, match=said) as told:
        attar.load("hf://user/name")
    assert str(told.value).startswith("cannot download 'user/name': ")
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match=said) as told:
        attar.push(artifact, "user/name")
    assert str(told.value).startswith("cannot publish 'user/name': ")


def test_a_full_disk_is_no_trouble_of_the_hub(remote):
    remote.side_effect = OSError(28, "No space left on device")
    with pytest.raises(UsageError, match="the disk is full"):
        attar.load("hf://user/name")


def test_a_set_is_published_with_its_card(api, artifact, tmp_path):
    record = attar.push(artifact, "user/name")
    api.create_repo.assert_called_once_with("user/name", repo_type="dataset", private=None, exist_ok=True)
    given = api.upload_folder.call_args.kwargs
    assert (given["repo_id"], given["repo_type"], given["commit_message"]) == (
        "user/name",
        "dataset",
        "A set of 6 samples",
    )
    assert {"data.safetensors", "manifest.json", "README.md"} <= set(api.uploaded)
    (tmp_path / "back").mkdir()
    for name, content in api.uploaded.items():
        (tmp_path / "back" / name).write_bytes(content)
    assert same_batch(attar.load(tmp_path / "back").decode(), artifact.decode())
    assert record.url == "https://huggingface.co/datasets/user/name"
    assert (record.private, record.license, record.note) == (False, "unknown", REMINDER)


def test_license_message_and_privacy_are_the_publisher_s(api, artifact):
    record = attar.push(artifact, "user/name", private=True, license="cc-by-4.0", message="first")
    assert api.create_repo.call_args.kwargs["private"] is True
    assert api.upload_folder.call_args.kwargs["commit_message"] == "first"
    page = api.uploaded["README.md"].decode("utf-8")
    assert page.startswith("---\nlicense: cc-by-4.0\n")
    assert "The license of the real data is unknown" in page
    assert "chose `cc-by-4.0`" in page
    assert (record.private, record.license) == (True, "cc-by-4.0")


def test_nothing_private_is_put_into_a_public_data_set(api, artifact):
    api.repo_info.return_value = SimpleNamespace(private=False)
    with pytest.raises(UsageError, match="'user/name' exists and is public; choose another name"):
        attar.push(artifact, "user/name", private=True)
    assert not api.upload_folder.called


@pytest.mark.parametrize(
    ("repo", "license", "said"),
    [
        ("name", "", "'name' is no address on the Hub"),
        ("user/name@v1", "", "names a revision; publish to 'user/name'"),
        ("user/name", "MIT", "unknown license 'MIT': .*such as mit or cc-by-4.0"),
        ("user/name", "cc-by-4", "did you mean 'cc-by-4.0'"),
    ],
)
def test_mistakes_reach_no_hub(api, artifact, repo, license, said):
    with pytest.raises(UsageError, match=said):
        attar.push(artifact, repo, license=license)
    assert not api.create_repo.called
