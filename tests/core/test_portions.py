"""A step taken some classes at a time is the step taken at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Objective, SetSpec
from attar.objectives import Fresh, MeanEmbedding
from attar.optim import OptimSpec
from attar.portions import MOST_BYTES, class_portions, rows_backward
from attar.rng import derive
from attar.runner import run
from attar.sizing import initial_batch
from attar.testing.toys import installed, toy_augment, toy_task

FEATURE = (2, 6, 6)


def distilled(at_once, *, augment=None, model="", steps=3):
    task = toy_task(FEATURE, augment=augment)
    objective = Objective(MeanEmbedding(per_class=4), Fresh(model=model, reuse=2))
    init = initial_batch(task, "real", [2] * len(task.classes), 0, installed())
    syn = task.synthesize(init, SetSpec(), derive(0, "set"))
    optim = {"values": OptimSpec(name="sgd", lr=0.1)}
    outcome = run(task, objective, syn, steps=steps, optim=optim, seed=0, classes_at_once=at_once)
    return outcome.syn.decode().inputs.detach(), outcome.loss


@pytest.mark.parametrize("augment", [None, toy_augment()], ids=["plain", "augmented"])
@pytest.mark.parametrize("at_once", [1, 2])
def test_portions_change_nothing_but_the_order_of_sums(at_once, augment):
    values, loss = distilled(at_once, augment=augment)
    whole, expected = distilled(0, augment=augment)
    assert loss == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(values, whole, rtol=1e-4, atol=1e-5)


def test_as_many_as_there_are_is_one_portion():
    values, loss = distilled(99)
    whole, expected = distilled(0)
    assert loss == expected
    assert values.equal(whole)


def portions(loss, *, labels=range(5), at_once=2, coupled=False, task=None):
    model = torch.nn.Identity()
    model.coupled = coupled
    return class_portions(task or toy_task(FEATURE), loss, model, torch.tensor(list(labels)), at_once)


def test_classes_are_cut_in_order():
    assert portions(MeanEmbedding()) == [[0, 1], [2, 3], [4]]


def test_models_that_couple_rows_see_all_classes():
    assert portions(MeanEmbedding(), coupled=True) == [[0, 1, 2, 3, 4]]


def test_losses_that_are_no_sum_see_all_classes():
    class Whole(MeanEmbedding):
        claims = frozenset()

    assert portions(Whole()) == [[0, 1, 2, 3, 4]]


def test_small_samples_are_taken_at_once_and_large_ones_are_not():
    size = 2 * 6 * 6 * 4
    few, many = MeanEmbedding(per_class=4), MeanEmbedding(per_class=MOST_BYTES // (2 * size))
    assert portions(few, at_once=0) == [[0, 1, 2, 3, 4]]
    assert portions(many, at_once=0) == [[0, 1], [2, 3], [4]]
    assert portions(replace(many, per_class=MOST_BYTES), at_once=0) == [[0], [1], [2], [3], [4]]


def test_many_large_synthetic_samples_are_portioned_too():
    task = toy_task((1, 256, 256))
    labels = torch.arange(4).repeat_interleave(5)
    assert portions(MeanEmbedding(per_class=1), labels=labels.tolist(), at_once=0, task=task) == [
        [0],
        [1],
        [2],
        [3],
    ]


@pytest.mark.parametrize(("feature", "most"), [((9,), 512), ((1, 32, 32), 512), ((3, 256, 256), 8)])
def test_few_large_samples_go_through_a_model_at_a_time(feature, most):
    from attar.objectives.distribution import embed

    class Model(torch.nn.Module):
        coupled = False

        def embed(self, inputs):
            sizes.append(len(inputs))
            return inputs.flatten(1)[:, :1]

    sizes: list[int] = []
    batch = Batch(torch.zeros(1, *feature).expand(600, *feature), torch.zeros(600, dtype=torch.int64))
    assert embed(Model(), batch, 512).shape == (600, 1)
    assert max(sizes) == most


@pytest.mark.parametrize(
    ("feature", "most"), [((9,), 512), ((1, 28, 28), 167), ((1, 32, 32), 128), ((3, 256, 256), 2)]
)
def test_fewer_go_through_a_model_and_back_where_gradients_are_summed(feature, most):
    batch = Batch(torch.zeros(1, *feature).expand(600, *feature), torch.zeros(600, dtype=torch.int64))
    assert rows_backward(batch, 512) == most


def test_what_is_elsewhere_or_no_tensor_goes_back_as_it_goes_forth():
    elsewhere = Batch(torch.zeros(600, 1, 32, 32, device="meta"), torch.zeros(600, dtype=torch.int64))
    assert rows_backward(elsewhere, 512) == 512
    assert rows_backward(Batch([torch.zeros(2, 3)] * 600, torch.zeros(600, dtype=torch.int64)), 512) == 512
    assert rows_backward(elsewhere.take(torch.arange(0)), 512) == 512
