from __future__ import annotations

import torch
from attar.rng import derive
from attar.rows import RowsByClass
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 6), st.integers(0, 99))
def test_each_class_gives_its_own_rows_once_and_no_more_than_it_has(labels, n, seed):
    rows = RowsByClass(torch.tensor(labels, dtype=torch.int64), 4)
    assert rows.counts.tolist() == [labels.count(each) for each in range(4)]
    for each in range(4):
        assert rows.of(each).tolist() == [place for place, label in enumerate(labels) if label == each]
        drawn = rows.draw(n, derive(seed), [each]).tolist()
        assert len(drawn) == len(set(drawn)) == min(n, labels.count(each))
        assert set(drawn) <= set(rows.of(each).tolist())


def test_labels_are_drawn_one_after_the_other():
    rows = RowsByClass(torch.tensor([1, 0, 1, 0]), 2)
    assert rows.draw(2, derive(0), [1, 0]).sort().values.tolist() == [0, 1, 2, 3]
    assert set(rows.draw(2, derive(0), [1, 0])[:2].tolist()) == {0, 2}


def test_without_labels_all_rows_are_alike():
    rows = RowsByClass(torch.tensor([0, 0, 0, 1]), 2)
    counts = torch.zeros(4)
    for seed in range(400):
        counts[rows.draw(2, derive(seed))] += 1
    assert counts.sum() == 800
    assert bool(((counts - 200).abs() < 60).all())
