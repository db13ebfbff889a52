from __future__ import annotations

import numpy as np
import pytest
from attar_text import store
from attar_text.store import VectorStore

TEXTS = [f"{'word ' * (number % 7)}{number}" for number in range(300)]


class Encoder:
    """Makes the length and the last number of a text; counts what it is given."""

    def __init__(self, stop=10**9):
        self.seen = []
        self.stop = stop

    def __call__(self, texts):
        if len(self.seen) + len(texts) > self.stop:
            raise KeyboardInterrupt
        self.seen += texts
        vectors = [[len(text), float(text.split()[-1])] for text in texts]
        return np.array(vectors, np.float32), np.array([len(text.split()) for text in texts], np.int32)


def vectors(found):
    return found.read(np.arange(len(found.places)))


def expected(texts):
    return np.array([[len(text), float(text.split()[-1])] for text in texts], np.float32)


def test_vectors_are_those_of_their_texts_and_made_once(tmp_path):
    encode = Encoder()
    own = VectorStore(tmp_path / "a", "float32")
    np.testing.assert_array_equal(vectors(own.all(TEXTS, encode, doing="x")), expected(TEXTS))
    assert sorted(encode.seen) == sorted(TEXTS)
    again = own.all(TEXTS[::-2], Encoder(stop=0), doing="x")
    np.testing.assert_array_equal(vectors(again), expected(TEXTS[::-2]))
    assert again.tokens.tolist() == [len(text.split()) for text in TEXTS[::-2]]


def test_a_text_that_stands_twice_is_encoded_once(tmp_path):
    encode = Encoder()
    found = VectorStore(tmp_path / "a", "float32").all([*TEXTS, *TEXTS], encode, doing="x")
    assert len(encode.seen) == len(TEXTS)
    np.testing.assert_array_equal(vectors(found), expected([*TEXTS, *TEXTS]))


def test_batches_hold_texts_of_like_length(tmp_path):
    encode = Encoder()
    VectorStore(tmp_path / "a", "float32").all(TEXTS, encode, doing="x")
    lengths = [len(text) for text in encode.seen]
    assert lengths == sorted(lengths)


def test_what_is_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_PIECE_SECONDS", -1.0)
    own = VectorStore(tmp_path / "a", "float32")
    with pytest.raises(KeyboardInterrupt):
        own.all(TEXTS, Encoder(stop=200), doing="x")
    encode = Encoder()
    np.testing.assert_array_equal(vectors(own.all(TEXTS, encode, doing="x")), expected(TEXTS))
    assert len(encode.seen) == 300 - 192  # Three batches of 64 were kept.


def test_a_damaged_piece_is_made_anew(tmp_path):
    own = VectorStore(tmp_path / "a", "float32")
    own.all(TEXTS, Encoder(), doing="x")
    (tmp_path / "a" / "000000" / "vectors.npy").write_bytes(b"no")
    encode = Encoder()
    np.testing.assert_array_equal(vectors(own.all(TEXTS, encode, doing="x")), expected(TEXTS))
    assert len(encode.seen) == len(TEXTS)


def test_half_precision_takes_half_the_bytes(tmp_path):
    for name in ("float16", "float32"):
        VectorStore(tmp_path / name, name).all(TEXTS, Encoder(), doing="x")
    sizes = {
        name: np.load(tmp_path / name / "000000" / "vectors.npy").nbytes for name in ("float16", "float32")
    }
    assert 2 * sizes["float16"] == sizes["float32"]


def test_pieces_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_MOST_PIECE", 128)
    VectorStore(tmp_path / "a", "float32").all(TEXTS, Encoder(), doing="x")
    pieces = sorted(path for path in (tmp_path / "a").iterdir() if path.is_dir())
    assert [len(np.load(path / "hashes.npy")) for path in pieces] == [128, 128, 44]


def test_missing_texts_are_told(tmp_path):
    own = VectorStore(tmp_path / "a", "float32")
    own.all(TEXTS[:10], Encoder(), doing="x")
    found, missing = own.find(TEXTS[5:15])
    assert missing.tolist() == [5, 6, 7, 8, 9]
    assert (found.places[:5, 0] == 0).all()
