from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from attar.errors import InternalError, UsageError
from attar.rng import derive
from attar.selectors import (
    HERDING,
    K_CENTER,
    K_MEANS,
    MEANS,
    RANDOM,
    class_features,
    feature_model,
    select,
)
from attar.selectors.rules import Rule

ALL = pytest.mark.parametrize(
    "rule", [RANDOM, HERDING, K_CENTER, K_MEANS], ids="random herding center means".split()
)


def features(m=12, d=3, seed=0):
    return torch.randn(m, d, generator=derive(seed, "features"))


def slow_herding(points, n):
    # Rebuffi et al., CVPR 2017, algorithm 4: p_k = argmin_x || mu - 1/k (x + sum_{j<k} p_j) ||
    mean, chosen = points.mean(0), []
    for k in range(1, n + 1):
        best = None
        for row in range(len(points)):
            if row in chosen:
                continue
            distance = float((mean - points[[*chosen, row]].sum(0) / k).norm())
            if best is None or distance < best[0]:
                best = distance, row
        chosen.append(best[1])
    return chosen


def slow_center(points, n):
    # Gonzalez, 1985: each next center is the point farthest from its nearest center.
    chosen = [min(range(len(points)), key=lambda row: float((points[row] - points.mean(0)).norm()))]
    while len(chosen) < n:
        rest = [row for row in range(len(points)) if row not in chosen]
        chosen.append(max(rest, key=lambda row: min(float((points[row] - points[c]).norm()) for c in chosen)))
    return chosen


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rule", "slow"), [(HERDING, slow_herding), (K_CENTER, slow_center)])
def test_greedy_rules_equal_their_definition(rule, slow, seed):
    points = features(seed=seed)
    assert rule.select(points, 7, derive(0)).tolist() == slow(points, 7)


def test_k_means_takes_one_sample_of_each_cluster_largest_first():
    centers = torch.tensor([[0.0, 0], [100, 0], [0, 100]]).repeat_interleave(torch.tensor([3, 5, 4]), 0)
    chosen = K_MEANS.select(centers + features(12, 2), 3, derive(0))
    assert [0 if row < 3 else 1 if row < 8 else 2 for row in chosen.tolist()] == [1, 2, 0]


@ALL
@pytest.mark.parametrize("n", [0, 1, 5, 12, 40])
def test_returns_distinct_rows_and_no_more_than_there_are(rule, n):
    chosen = rule.select(features(), n, derive(0))
    assert chosen.dtype == torch.int64
    assert len(chosen) == len(chosen.unique()) == min(n, 12)
    assert all(0 <= row < 12 for row in chosen.tolist())


@ALL
def test_equal_samples_are_still_chosen_once(rule):
    points = torch.ones(6, 2)
    chosen = rule.select(points, 4, derive(0))
    assert len(chosen.unique()) == 4


@ALL
def test_the_generator_decides(rule):
    points = features(30)
    assert torch.equal(rule.select(points, 5, derive(1)), rule.select(points, 5, derive(1)))


def test_random_is_uniform():
    counts = torch.zeros(6)
    for draw in range(600):
        counts[RANDOM.select(torch.empty(6, 0), 2, derive(draw))] += 1
    # Each row is chosen with probability 1/3; five standard deviations of the binomial.
    assert (counts - 200).abs().max() < 5 * (600 * 2 / 9) ** 0.5


def test_select_stays_in_each_class_and_reports_short_ones(blobs):
    task = blobs(counts=(24, 24, 8))
    found = select(task, HERDING, [3, 0, 50], None, 0, "herding")
    assert torch.bincount(task.labels[found.rows], minlength=3).tolist() == [3, 0, int(task.counts[2])]
    assert found.short == (2,)


def test_select_refuses_a_rule_that_repeats_rows(blobs):
    odd = replace(RANDOM, function=lambda features, n, gen: torch.zeros(n, dtype=torch.int64))
    with pytest.raises(InternalError, match=r"the selector 'odd' returned .* where 2 distinct rows"):
        select(blobs(), odd, [2, 2, 2], None, 0, "odd")


def test_features_are_inputs_or_embeddings(blobs):
    task, rows = blobs(), torch.arange(5)
    assert feature_model(task, "input", "mlp", 0) is None
    torch.testing.assert_close(class_features(task, None, rows), task.gather(rows).inputs)
    model = feature_model(task, "random", "mlp,width=6", 0)
    torch.testing.assert_close(class_features(task, model, rows), model.embed(task.gather(rows).inputs))
    assert not model.training


def test_trained_features_separate_the_classes(blobs):
    task = blobs()
    model = feature_model(task, "trained", "linear", 0)
    right = (
        (model(task.gather(torch.arange(len(task.labels))).inputs).argmax(1) == task.labels).float().mean()
    )
    assert right > 0.9


def test_an_unknown_feature_space_lists_the_choices(blobs):
    with pytest.raises(UsageError, match="unknown feature space 'pixel': choose from input, random, trained"):
        feature_model(blobs(), "pixel", "mlp", 0)


@dataclass(frozen=True)
class Lost(Rule):
    def groups(self, features, n, gen):
        return torch.zeros(len(features), dtype=torch.int64)


class TestMeans:
    def test_one_sample_per_class_is_the_class_mean(self, blobs):
        task = blobs()
        batch = select(task, MEANS, [1, 0, 1], None, 0, "means").batch(task)
        assert batch.labels.tolist() == [0, 2]
        for row, label in enumerate((0, 2)):
            own = task.gather((task.labels == label).nonzero()[:, 0]).inputs
            torch.testing.assert_close(batch.inputs[row], own.mean(0))

    def test_more_are_the_means_of_clusters(self):
        centers = torch.tensor([[0.0, 0], [100, 0], [0, 100]])
        points = centers.repeat_interleave(torch.tensor([3, 5, 4]), 0) + features(12, 2)
        groups = MEANS.groups(points, 3, derive(0))
        found = torch.stack([points[groups == own].mean(0) for own in range(3)])
        assert (torch.cdist(centers, found).min(1).values < 2).all()

    def test_they_weigh_as_much_as_the_class(self, blobs):
        # The mean of clusters, weighted by their sizes, is the mean of all; pieces change nothing.
        task = blobs(counts=(600, 24, 24))
        found = select(task, MEANS, [4, 0, 0], None, 0, "means")
        batch = found.batch(task)
        weighted = (batch.inputs * found.sizes[:, None]).sum(0) / found.sizes.sum()
        own = task.gather((task.labels == 0).nonzero()[:, 0]).inputs
        torch.testing.assert_close(weighted, own.mean(0))

    def test_as_many_as_there_are_give_the_samples(self, blobs):
        task = blobs(counts=(4, 24, 24))
        n = int(task.counts[0])
        batch = select(task, MEANS, [n, 0, 0], None, 0, "means").batch(task)
        torch.testing.assert_close(batch.inputs, task.gather((task.labels == 0).nonzero()[:, 0]).inputs)

    def test_groups_that_are_none_are_our_own_error(self, blobs):
        odd = Lost(RANDOM.function, "a rule")
        with pytest.raises(InternalError, match="the selector 'odd' made groups of"):
            select(blobs(), odd, [2, 2, 2], None, 0, "odd")
