from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
import torch
from attar.rng import derive, permutation, scoped
from hypothesis import given
from hypothesis import strategies as st

WORD = st.integers() | st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=4)


def numbers(gen):
    return torch.rand(4, generator=gen).tolist()


@given(st.integers(), st.lists(WORD, max_size=3))
def test_derive_depends_on_seed_and_path_alone(seed, path):
    first = derive(seed, *path)
    torch.rand(3)
    assert first.get_state().equal(derive(seed, *path).get_state())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, "a"), (1, "a")),
        ((0, "a"), (0, "b")),
        ((0, "a", 1), (0, "a", 2)),
        ((0, "1"), (0, 1)),
        ((0, "a", "b"), (0, "ab")),
        ((0, 1, 23), (0, 12, 3)),
        ((0,), (0, 0)),
    ],
)
def test_derive_differs_where_seed_or_path_differ(one, other):
    assert numbers(derive(*one)) != numbers(derive(*other))


def test_permutation_holds_each_index_once():
    assert sorted(permutation(9, derive(0)).tolist()) == list(range(9))


def draw_globally():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()


def test_scoped_draws_depend_on_the_generator_alone():
    with scoped(derive(1, "x")):
        first = draw_globally()
    draw_globally()
    with scoped(derive(1, "x")):
        assert draw_globally() == first
    with scoped(derive(2, "x")):
        assert draw_globally() != first


def test_scoped_seeds_all_three_libraries():
    with scoped(derive(1)):
        first = draw_globally()
    with scoped(derive(2)):
        second = draw_globally()
    assert all(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_scoped_leaves_global_generators_as_they_were(fails):
    def state():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    def use():
        with scoped(derive(3)):
            draw_globally()
            if fails:
                raise KeyError

    before = state()
    if fails:
        with pytest.raises(KeyError):
            use()
    else:
        use()
    assert state() == before


def test_a_stream_is_a_mersenne_twister_whose_624_words_are_a_hash_of_the_path():
    """NumPy's own twister, given the same words, draws the same 32 bits."""
    words = np.frombuffer(hashlib.shake_256(b'[7, "real", 3]').digest(4 * 624), "<u4")
    theirs = np.random.RandomState()
    theirs.set_state(("MT19937", words, 624))
    wanted = theirs.randint(2**32, size=2000, dtype=np.uint32) % 2**16
    assert torch.randint(2**16, (2000,), generator=derive(7, "real", 3)).tolist() == wanted.tolist()


def test_no_two_of_many_paths_share_a_stream():
    """With the 32 bits that PyTorch keeps of a seed, 60,000 paths would share 0.4 pairs on average."""
    states = {derive(0, "step", k).get_state().numpy()[24:64].tobytes() for k in range(60_000)}
    assert len(states) == 60_000
