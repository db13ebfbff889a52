"""The dataset card, read as the Hub reads it."""

from __future__ import annotations

import attar
import pytest
from attar.artifact.card import LICENSES, check_license, dataset_card
from attar.errors import InternalError, UsageError
from attar.testing import toy_task
from huggingface_hub import DatasetCard, DatasetCardData


@pytest.fixture(scope="module")
def manifest():
    return attar.distill(attar.task("tensor", data="iris"), method="random", ipc=2).manifest


def with_license(manifest, license):
    return manifest.model_copy(update={"data": manifest.data.model_copy(update={"license": license})})


def read(text):
    return DatasetCard(text).data.to_dict()


def test_the_head_holds_what_the_hub_knows(manifest):
    assert read(dataset_card(manifest)) == {
        "license": "unknown",
        "task_categories": ["tabular-classification"],
        "size_categories": ["n<1K"],
        "tags": ["dataset-distillation", "attar"],
    }


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("mit", {"license": "mit"}),
        ("MIT", {"license": "mit"}),
        ("Owner's own: ask!", {"license": "other", "license_name": "owner-s-own-ask"}),
        ("???", {"license": "other", "license_name": "own"}),
        ("on", {"license": "other", "license_name": "on"}),
        ("a\nb: c\n---", {"license": "other", "license_name": "a-b-c"}),
    ],
)
def test_licenses_that_the_hub_does_not_know_are_named(manifest, stated, expected):
    head = read(dataset_card(with_license(manifest, stated)))
    assert {key: head[key] for key in head if key.startswith("license")} == expected


def test_the_card_tells_source_and_choice_apart(manifest):
    known = with_license(manifest, "cc-by-sa-4.0")
    assert "The real data have the license `cc-by-sa-4.0`" in dataset_card(known)
    page = dataset_card(known, license="cc-by-nc-4.0")
    assert read(page)["license"] == "cc-by-nc-4.0"
    assert "The real data have the license `cc-by-sa-4.0`, as their owner says." in page
    assert "Whoever published the set chose `cc-by-nc-4.0` for it." in page
    assert "license of the real data is unknown: ask their owner" in dataset_card(manifest)


def test_the_card_warns(manifest):
    page = " ".join(dataset_card(manifest).split())
    assert "can reveal them, persons included: no anonymity is implied" in page


def test_a_card_that_is_read_otherwise_is_a_bug(manifest, monkeypatch):
    monkeypatch.setattr(DatasetCardData, "to_yaml", lambda self, **_: f"license: {self.license}x")
    with pytest.raises(InternalError, match="is read otherwise than it was written"):
        dataset_card(manifest)


def test_licenses_of_public_images_are_the_hub_s():
    public = pytest.importorskip("attar_image.public", reason="attar-image is not installed")
    assert {known.license for known in public.PUBLIC.values()} <= LICENSES


def test_license_identifiers():
    assert check_license("mit") == "mit"
    with pytest.raises(UsageError, match="unknown license 'cc-by-sa': did you mean 'cc-by-"):
        check_license("cc-by-sa")


def test_tasks_have_a_license_and_old_manifests_none(manifest):
    from attar.artifact.manifest import read_manifest

    assert toy_task().license == "unknown"
    content = manifest.model_dump(mode="json")
    del content["data"]["license"]
    assert read_manifest(content, "old").data.license == "unknown"


def test_texts_are_written_alike_on_every_platform(tmp_path):
    attar.distill(attar.task("tensor", data="iris"), method="random", ipc=1, out=tmp_path / "run")
    for name in ("README.md", "recipe.toml", "manifest.json"):
        assert b"\r" not in (tmp_path / "run" / "artifact" / name).read_bytes()
