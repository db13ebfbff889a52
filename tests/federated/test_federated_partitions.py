import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.testing.toys import toy_task
from attar_federated import partitions
from attar_federated.partitions import Partition, histogram, partition, split_rows
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = ["iid", "dirichlet,alpha=0.3", "shards,each=2", "pathological,classes=2"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_sample_is_with_one_client(text, task):
    rows = split_rows(task, Partition.of(text), 4, 0)
    assert torch.equal(torch.cat(rows).sort().values, torch.arange(160))


@pytest.mark.parametrize("text", TEXTS)
def test_a_seed_decides_who_has_what(text, task):
    def held(seed):
        return [rows.tolist() for rows in split_rows(task, Partition.of(text), 4, seed)]

    assert held(1) == held(1)
    assert held(1) != held(2)


def test_equal_parts_are_mixed_whatever_the_order_of_the_data(task):
    by_class = task.subset(task.labels.argsort())
    assert (histogram(partition(by_class, "iid", 4, 0)) > 0).all()


def test_a_small_alpha_leaves_clients_with_fewer_classes(task):
    def shared(alpha):
        counts = histogram(partition(task, f"dirichlet,alpha={alpha}", 4, 0))
        return float((counts.max(0) / counts.sum(0)).mean())

    assert shared(0.05) > shared(100) + 0.2


def test_pathological_clients_have_as_many_classes_as_was_said(task):
    counts = histogram(partition(task, "pathological,classes=2", 4, 0))
    assert ((counts > 0).sum(1) == 2).all()


@settings(max_examples=15)
@given(st.integers(1, 6), st.sampled_from(["iid", "dirichlet,alpha=1"]), st.integers(0, 5))
def test_nothing_is_lost_or_doubled(clients, text, seed):
    task = toy_task((2,), classes=3, n=300)
    rows = torch.cat(split_rows(task, Partition.of(text), clients, seed))
    assert sorted(rows.tolist()) == list(range(300))


class Named:
    """A task whose samples have names."""

    def __init__(self, task, names):
        self._task, self._names = task, names

    def __getattr__(self, name):
        return getattr(self._task, name)

    def caption(self, row):
        return self._names[row]


def test_what_belongs_together_is_with_one_client(task):
    names = [f"{row}_{'abc'[row % 3]}.wav" for row in range(160)]
    named = Named(task, names)
    rows = split_rows(named, Partition.of(r"groups,pattern=_(?P<group>[a-z])\."), 3, 0)
    assert [{names[row][-5] for row in each.tolist()} for each in rows] == [{"a"}, {"b"}, {"c"}] or sorted(
        "".join({names[row][-5] for row in each.tolist()}) for each in rows
    ) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "clients", "told"),
    [
        (r"groups,pattern=_([a-z])\.", 3, "has no (?P<group>…)"),
        (
            r"groups,pattern=_(?P<group>[a-z])\.",
            5,
            "finds 3 groups (a, b, c), so there must be as many clients",
        ),
        (r"groups,pattern=(?P<group>[", 3, "is no regular expression"),
        (r"groups,pattern=(?P<group>zz)", 3, "does not match the pattern"),
    ],
)
def test_groups_that_cannot_be_found_are_refused(text, clients, told, task):
    named = Named(task, [f"{row}_{'abc'[row % 3]}.wav" for row in range(160)])
    with pytest.raises(UsageError) as refused:
        split_rows(named, Partition.of(text), clients, 0)
    assert told in str(refused.value)


def test_samples_without_names_have_no_groups(task):
    with pytest.raises(UsageError, match="have no names to find groups in"):
        split_rows(task, Partition.of("groups,pattern=(?P<group>a)"), 2, 0)


@pytest.mark.parametrize(
    ("text", "clients"),
    [("iid", 1000), ("pathological,classes=9", 4), ("dirichlet,alpha=0.1,least=100", 4)],
)
def test_what_cannot_be_split_is_refused_in_a_sentence(text, clients, task):
    with pytest.raises(UsageError, match="cannot be"):
        split_rows(task, Partition.of(text), clients, 0)


@pytest.mark.parametrize(
    ("text", "clients", "told"),
    [
        (
            "shards,each=50",
            60,
            "cannot be cut into 3,000 shards, 50 for each of 60 clients: it has 160 samples",
        ),
        ("shards,each=3", 60, "choose shards,each=2 at most"),
        ("shards,each=161", 1, "choose shards,each=160 at most"),
        ("dirichlet,alpha=0.01", 60, "each client must get 1 sample or more, and every draw with alpha=0.01"),
        ("dirichlet,alpha=1,least=100", 4, "each of 4 clients gets 100 samples or more: it has 160"),
        (
            "pathological,classes=4",
            100,
            "cannot be split by 'pathological' among 100 clients: Label: 0 is needed",
        ),
    ],
)
def test_a_refusal_says_what_each_client_must_get(text, clients, told, task):
    with pytest.raises(UsageError) as refused:
        split_rows(task, Partition.of(text), clients, 0)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), KeyError(3), IndexError("no row. Try again."), TypeError()]
)
def test_whatever_a_partitioner_raises_becomes_a_sentence(error, task, monkeypatch):
    class Broken:
        def load_partition(self, number):
            raise error

    monkeypatch.setitem(
        partitions.PARTITIONS, "iid", (partitions.PARTITIONS["iid"][0], lambda *given: Broken())
    )
    with pytest.raises(
        UsageError, match=r"cannot be split by 'iid' among 4 clients: .*; change the partition"
    ):
        split_rows(task, Partition.of("iid"), 4, 0)


def test_a_client_without_a_sample_is_refused(task, monkeypatch):
    class Greedy:
        def load_partition(self, number):
            return {"row": [0, 1] if number == 0 else []}

    monkeypatch.setitem(
        partitions.PARTITIONS, "iid", (partitions.PARTITIONS["iid"][0], lambda *given: Greedy())
    )
    with pytest.raises(UsageError, match="client 1 would have no sample"):
        split_rows(task, Partition.of("iid"), 2, 0)


def test_a_histogram_counts_samples_of_each_class(task):
    counts = histogram([task.subset(torch.tensor([0, 4, 1])), task.subset(torch.tensor([2]))])
    assert np.array_equal(counts, [[2, 1, 0, 0], [0, 0, 1, 0]])
