from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar_text.encoders import TfidfEncoder, TransformerEncoder, encoder_folder
from attar_text.encoders.transformer import pooled

from tests.text.conftest import sentences

TEXTS, _ = sentences()


def made(folder, pooling="mean", normalize=False, length=0):
    return TransformerEncoder(folder, str(folder), pooling, normalize, length)


def test_pooling_takes_the_mean_the_first_or_the_last_token():
    states = torch.arange(24.0).view(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    torch.testing.assert_close(pooled(states, mask, "mean")[0], (states[0, 0] + states[0, 1]) / 2)
    torch.testing.assert_close(pooled(states, mask, "cls"), states[:, 0])
    torch.testing.assert_close(pooled(states, mask, "last"), torch.stack([states[0, 1], states[1, 3]]))
    left = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    torch.testing.assert_close(pooled(states, left, "cls")[0], states[0, 2])
    torch.testing.assert_close(pooled(states, left, "last")[0], states[0, 3])


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_vector_does_not_depend_on_the_texts_beside_it(encoder, pooling):
    own = made(encoder, pooling)
    together, _ = own.encode(TEXTS)
    alone = np.concatenate([own.encode([text])[0] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_normalized_vectors_have_length_one(encoder):
    vectors, _ = made(encoder, normalize=True).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_tokens_are_counted_also_those_that_are_not_read(encoder):
    vectors, tokens = made(encoder, length=6).encode(
        ["the film was good", "the film was very very very good"]
    )
    assert tokens.tolist() == [6, 9]
    np.testing.assert_allclose(vectors[1], made(encoder).encode(["the film was very"])[0][0], atol=1e-5)


def test_the_length_is_the_encoders(encoder):
    assert made(encoder).length == 24


def test_pooling_is_what_the_folder_says(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "own")
    assert made(folder, "auto").pooling == "mean"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert made(folder, "auto").pooling == "cls"


def test_the_key_is_that_of_files_and_settings(encoder, tmp_path):
    keys = {
        made(encoder).key,
        made(encoder, "cls").key,
        made(encoder, normalize=True).key,
        made(encoder, length=5).key,
    }
    assert len(keys) == 4
    folder = shutil.copytree(encoder, tmp_path / "own")
    assert made(folder).key == made(encoder).key
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(weights))
    assert made(folder).key != made(encoder).key


def test_an_encoder_says_its_name_and_no_folder(encoder):
    about = dict(made(encoder).about)
    assert about.pop("key") == made(encoder).key
    assert about == {"name": "tiny", "pooling": "mean", "normalize": False, "length": 24}


def test_half_precision_weights_are_computed_in_single(encoder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(encoder, tmp_path / "own")
    weights = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    vectors, _ = made(folder).encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, made(encoder).encode(TEXTS)[0], atol=5e-3)


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "has no weights"),
        ("config.json", "has no config.json"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused(encoder, tmp_path, left_out, words):
    folder = shutil.copytree(encoder, tmp_path / "own")
    for path in folder.glob(f"{left_out.split('.')[0]}*" if "tokenizer" in left_out else left_out):
        path.unlink()
    with pytest.raises(UsageError, match=words):
        encoder_folder(str(folder), download=False)


def test_a_damaged_folder_is_refused(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "own")
    (folder / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(UsageError, match="'own' cannot be loaded"):
        made(folder).encode(TEXTS)


def test_code_in_a_folder_is_not_run(encoder, tmp_path):
    import json

    folder = shutil.copytree(encoder, tmp_path / "own")
    said = json.loads((folder / "config.json").read_text())
    said["auto_map"] = {"AutoModel": "mine.Model", "AutoConfig": "mine.Config"}
    said["model_type"] = "mine"
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UsageError, match="cannot be loaded"):
        made(folder).encode(TEXTS)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("offline", [True, False])
def test_an_encoder_that_is_not_at_hand_says_what_to_download(monkeypatch, tmp_path, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if offline else "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        encoder_folder("nobody/nothing", download=offline)
    sentence = str(caught.value)
    assert "'nobody/nothing' is not on this machine" in sentence
    assert "--download" in sentence
    assert ("HF_HUB_OFFLINE" in sentence) == offline


def test_what_is_no_name_is_refused():
    with pytest.raises(UsageError, match="neither a folder nor the name"):
        encoder_folder("/no/such/folder here", download=False)


def test_tfidf_counts_words_of_the_training_texts_alone():
    own = TfidfEncoder(TEXTS, 4, True)
    vectors, known = own.encode(["film film", "zebra"])
    assert vectors.shape == (2, 4)
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)
    assert not vectors[1].any()
    assert known.tolist() == [1, 0]
    again, _ = TfidfEncoder(TEXTS, 4, True).encode(["film film"])
    np.testing.assert_array_equal(vectors[:1], again)


def test_the_width_of_tfidf_is_at_most_what_its_texts_allow():
    vectors, _ = TfidfEncoder(TEXTS, 4096, False).encode(TEXTS)
    assert vectors.shape[1] < len(TEXTS)


def test_texts_without_a_common_word_are_refused():
    with pytest.raises(UsageError, match="no word of two or more letters is in two"):
        TfidfEncoder(["one", "two", "three"], 4, True).encode(["one"])


def test_keys_of_tfidf_are_those_of_texts_and_settings():
    keys = {
        TfidfEncoder(*each).key
        for each in [(TEXTS, 4, True), (TEXTS, 5, True), (TEXTS, 4, False), (TEXTS[:-1], 4, True)]
    }
    assert len(keys) == 4
