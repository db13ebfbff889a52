from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from attar.batch import Batch, map_inputs, map_values
from attar.errors import InternalError
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Nodes:
    """A graph in miniature: all values stay, and an index says which rows are meant."""

    values: torch.Tensor
    index: torch.Tensor

    def take(self, rows):
        return Nodes(self.values, self.index[rows])

    def map(self, function):
        return Nodes(function(self.values), self.index)

    def cat(self, others):
        values, index = [self.values], [self.index]
        for other in others:
            index.append(other.index + sum(len(part) for part in values))
            values.append(other.values)
        return Nodes(torch.cat(values), torch.cat(index))

    def to(self, device):
        return Nodes(self.values.to(device), self.index.to(device))


def make(kind, n, *, targets=False):
    values = torch.arange(3.0 * n).view(n, 3)
    labels = torch.arange(n) % 3
    inputs = {
        "tensor": values,
        "tuple": (values, labels + 10),
        "dict": {"ids": labels + 10, "more": (values,)},
        "structured": Nodes(values, torch.arange(n)),
    }[kind]
    return Batch(inputs, labels, values * 2 if targets else None)


def flat(batch):
    """Return one row of numbers per sample."""

    def columns(inputs):
        if isinstance(inputs, Nodes):
            return [inputs.values[inputs.index]]
        if isinstance(inputs, dict):
            inputs = tuple(inputs.values())
        if isinstance(inputs, tuple):
            return [column for part in inputs for column in columns(part)]
        return [inputs.view(len(batch), -1)]

    parts = [*columns(batch.inputs), batch.labels[:, None]]
    if batch.targets is not None:
        parts.append(batch.targets)
    return torch.cat([part.to(torch.float32) for part in parts], 1).tolist()


KINDS = pytest.mark.parametrize("kind", ["tensor", "tuple", "dict", "structured"])


@KINDS
@pytest.mark.parametrize("targets", [False, True])
def test_take_returns_the_rows_meant_in_their_order(kind, targets):
    batch = make(kind, 6, targets=targets)
    rows = [4, 0, 4]
    assert flat(batch.take(torch.tensor(rows))) == [flat(batch)[row] for row in rows]


@KINDS
def test_of_returns_one_class(kind):
    batch = make(kind, 7)
    assert flat(batch.of(1)) == [row for row in flat(batch) if row[-1] == 1]
    assert len(batch.of(9)) == 0


def test_structured_inputs_keep_their_context():
    assert make("structured", 6).of(1).inputs.values.shape == (6, 3)


@KINDS
@given(data=st.data())
def test_take_then_cat_is_take_of_all_rows(kind, data):
    batch = make(kind, 6, targets=True)
    rows = st.lists(st.integers(0, 5), min_size=1, max_size=4)
    one, other = data.draw(rows), data.draw(rows)
    joined = Batch.cat([batch.take(torch.tensor(one)), batch.take(torch.tensor(other))])
    assert flat(joined) == flat(batch.take(torch.tensor(one + other)))


@KINDS
@given(n=st.integers(1, 9), size=st.integers(1, 10))
def test_chunks_concatenate_to_the_whole(kind, n, size):
    batch = make(kind, n)
    pieces = batch.chunks(size)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert 0 < len(pieces[-1]) <= size
    assert flat(Batch.cat(pieces)) == flat(batch)


def test_cat_of_nothing_is_refused():
    with pytest.raises(InternalError, match="no batch to concatenate"):
        Batch.cat([])


def test_cat_of_batches_with_and_without_targets_is_refused():
    with pytest.raises(InternalError, match="with and without targets"):
        Batch.cat([make("tensor", 2), make("tensor", 2, targets=True)])


def test_inputs_of_another_type_are_refused():
    with pytest.raises(InternalError, match="inputs of type set"):
        map_inputs(lambda part: part, {1, 2})


def test_map_values_leaves_integers_alone():
    numbers, ids = map_values(lambda part: part + 1, (torch.zeros(2), torch.zeros(2, dtype=torch.int64)))
    assert numbers.tolist() == [1, 1]
    assert ids.tolist() == [0, 0]


@KINDS
def test_to_moves_every_tensor(kind):
    assert flat(make(kind, 3, targets=True).to(torch.device("cpu"))) == flat(make(kind, 3, targets=True))
    assert make("tensor", 3, targets=True).to(torch.device("meta")).targets.is_meta


def loss(batch):
    inputs = batch.inputs
    values = inputs.values if isinstance(inputs, Nodes) else inputs
    while not isinstance(values, torch.Tensor):
        values = next(iter(values.values())) if isinstance(values, dict) else values[0]
    return (values**3).sum() + (values[:, 0] * batch.targets[:, 1]).sin().sum()


@pytest.mark.parametrize("kind", ["tensor", "tuple", "structured"])
def test_detached_backward_equals_direct_backward(kind):
    def build():
        leaf = torch.linspace(-1, 1, 12).view(4, 3).requires_grad_()
        values, soft = leaf.exp(), leaf.cos()
        inputs = {"tensor": values, "tuple": (values,), "structured": Nodes(values, torch.arange(4))}[kind]
        return leaf, Batch(inputs, torch.zeros(4, dtype=torch.int64), soft)

    direct, batch = build()
    loss(batch).backward()
    pieces, batch = build()
    copy, outs, leaves = batch.detached()
    assert len(outs) == len(leaves) == 2
    assert all(leaf.is_leaf and leaf is not out for out, leaf in zip(outs, leaves, strict=True))
    torch.autograd.backward(outs, torch.autograd.grad(loss(copy), leaves))
    torch.testing.assert_close(pieces.grad, direct.grad)


@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict"])
def test_portions_send_the_gradient_of_the_whole(kind):
    def build():
        values = torch.linspace(-1, 1, 12).view(4, 3).requires_grad_()
        soft = torch.linspace(1, 2, 12).view(4, 3).requires_grad_()
        inputs = {"tensor": values, "tuple": (values,), "dict": {"x": values}}[kind]
        return values, soft, Batch(inputs, torch.tensor([0, 1, 0, 1]), soft)

    values, soft, whole = build()
    loss(whole).backward()
    own_values, own_soft, batch = build()
    for label in (0, 1):
        part, send = batch.portion((batch.labels == label).nonzero()[:, 0])
        assert part.labels.tolist() == [label, label]
        loss(part).backward()
        send()
    torch.testing.assert_close(own_values.grad, values.grad)
    torch.testing.assert_close(own_soft.grad, soft.grad)


def test_a_portion_of_a_structure_keeps_its_context():
    values = torch.ones(4, 3, requires_grad=True)
    batch = Batch(Nodes(values, torch.arange(4)), torch.tensor([0, 1, 0, 1]))
    part, send = batch.portion(torch.tensor([1, 3]))
    assert part.inputs.values is values
    (part.inputs.values[part.inputs.index] ** 2).sum().backward()
    send()
    assert values.grad.sum(1).tolist() == [0, 6, 0, 6]


def test_detached_has_no_leaves_where_nothing_is_learned():
    copy, outs, leaves = make("dict", 3).detached()
    assert (outs, leaves) == ([], [])
    assert flat(copy) == flat(make("dict", 3))
