from __future__ import annotations

import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import InternalError
from attar.objectives import AlignedFeatures, MeanFeatures
from attar.rng import derive


@pytest.fixture
def context(blobs):
    return Context(task=blobs(), seed=0, clock=Clock(0, 1))


@pytest.fixture
def subject(context):
    model = context.task.build("mlp,width=5,depth=4,act=gelu", derive(0, "model"))
    return Subject(model.double().requires_grad_(False), 0)


def batch(labels, seed=0):
    values = torch.randn(len(labels), 4, generator=derive(seed, "batch"), dtype=torch.float64)
    return Batch(values, torch.tensor(labels))


def value(loss, subject, real, syn, context):
    return loss.compare(subject, loss.observe(subject, real, context), syn, context, {})


def features(model, data, label, layer):
    rows = [x for x, y in zip(data.inputs, data.labels, strict=True) if y == label]
    return [model.feature_maps(x[None])[layer][0].tolist() for x in rows]


def mean(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def slow_alignment(model, real, syn, labels, weights):
    # Wang et al., CVPR 2022, equation 3: sum_l w_l sum_c || mean f_l(T_c) - mean f_l(S_c) ||^2
    total = 0.0
    for layer, weight in enumerate(weights):
        for label in labels:
            one, other = (mean(features(model, data, label, layer)) for data in (real, syn))
            total += weight * sum((p - q) ** 2 for p, q in zip(one, other, strict=True))
    return total


def slow_discrimination(model, real, syn, labels):
    # Wang et al., CVPR 2022, equations 4 to 6: the mean over real samples t of class c of
    # -log( exp <f_L(t), m_c> / sum_j exp <f_L(t), m_j> ), m_j the mean of f_L over S_j
    centers = {label: mean(features(model, syn, label, -1)) for label in labels}
    losses = []
    for label in labels:
        for row in features(model, real, label, -1):
            answers = {j: sum(p * q for p, q in zip(row, centers[j], strict=True)) for j in labels}
            chance = math.exp(answers[label]) / sum(math.exp(each) for each in answers.values())
            losses.append(-math.log(chance))
    return sum(losses) / len(losses)


REAL, SYN = batch([0, 1, 2, 0, 1, 2, 2], 1), batch([2, 0, 1, 1], 2)


def test_equals_both_terms(subject, context):
    weights = (1.0, 0.5, 0.25, 2.0)
    found = float(value(AlignedFeatures(layers=weights, discrimination=0.3), subject, REAL, SYN, context))
    alignment = slow_alignment(subject.model, REAL, SYN, range(3), weights)
    told = slow_discrimination(subject.model, REAL, SYN, range(3))
    assert found == pytest.approx(alignment + 0.3 * told, rel=1e-9)


def test_without_discrimination_the_first_term_is_left(subject, context):
    loss = AlignedFeatures(layers=(1.0,), discrimination=0.0)
    found = value(loss, subject, REAL, SYN, context)
    torch.testing.assert_close(found, value(MeanFeatures(), subject, REAL, SYN, context))
    assert float(value(loss, subject, REAL, REAL, context)) == 0.0


def test_the_last_weight_serves_all_further_layers(subject, context):
    found = float(value(AlignedFeatures(layers=(2.0, 0.5), discrimination=0.0), subject, REAL, SYN, context))
    expected = slow_alignment(subject.model, REAL, SYN, range(3), (2.0, 0.5, 0.5, 0.5))
    assert found == pytest.approx(expected, rel=1e-9)


def test_weights_beyond_the_layers_are_not_used(subject, context):
    one, other = (
        value(AlignedFeatures(layers=weights), subject, REAL, SYN, context)
        for weights in ((1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0, 5.0))
    )
    assert torch.equal(one, other)


def test_a_class_without_synthetic_samples_is_left_out_of_both_terms(subject, context):
    weights, syn = (1.0, 0.5, 0.25, 2.0), batch([0, 2, 2], 3)
    found = float(value(AlignedFeatures(layers=weights, discrimination=0.3), subject, REAL, syn, context))
    alignment = slow_alignment(subject.model, REAL, syn, (0, 2), weights)
    told = slow_discrimination(subject.model, REAL, syn, (0, 2))
    assert found == pytest.approx(alignment + 0.3 * told, rel=1e-9)


def test_centers_of_the_wrong_classes_cost_more(subject, context):
    loss = AlignedFeatures(layers=(0.0,), discrimination=1.0)
    real = Batch(3 * torch.eye(4, dtype=torch.float64)[:3], torch.arange(3))
    swapped = Batch(real.inputs, torch.tensor([1, 2, 0]))
    right, wrong = (float(value(loss, subject, real, syn, context)) for syn in (real, swapped))
    assert right < wrong


def test_order_within_the_batch_does_not_matter(subject, context):
    turned = SYN.take(torch.tensor([3, 1, 0, 2]))
    one, other = (value(AlignedFeatures(), subject, REAL, each, context) for each in (SYN, turned))
    torch.testing.assert_close(one, other)


def test_it_is_neither_zero_at_the_real_data_nor_a_sum_over_classes(subject, context):
    loss = AlignedFeatures(discrimination=1.0)
    assert loss.claims == {"order_free"}
    assert float(value(loss, subject, REAL, REAL, context)) > 0.1
    parts = sum(float(value(loss, subject, REAL, SYN.of(label), context)) for label in range(3))
    assert parts != pytest.approx(float(value(loss, subject, REAL, SYN, context)), rel=1e-2)


@pytest.mark.parametrize("chunk", [1, 3])
def test_pieces_change_neither_value_nor_gradient(subject, context, chunk):
    found = []
    for loss in (AlignedFeatures(), AlignedFeatures(chunk=chunk)):
        syn = batch([0, 0, 1, 2, 2], 2)
        syn.inputs.requires_grad_()
        result = value(loss, subject, REAL, syn, context)
        found.append((result, *torch.autograd.grad(result, syn.inputs)))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("labels", [[0, 1, 1, 2], [0, 2]])
def test_gradcheck_in_float64(subject, context, labels):
    loss = AlignedFeatures(discrimination=0.5, chunk=2)
    stats = loss.observe(subject, REAL, context)

    def scalar(values):
        return loss.compare(subject, stats, Batch(values, torch.tensor(labels)), context, {})

    assert torch.autograd.gradcheck(scalar, batch(labels, 2).inputs.requires_grad_())


def test_layers_of_images_are_flattened(blobs):
    task = blobs(feature=(1, 4, 4))
    context = Context(task=task, seed=0, clock=Clock(0, 1))
    subject = Subject(task.build("convnet,width=3,depth=2", derive(0)).requires_grad_(False), 0)
    real, syn = task.draw(3, derive(1), [0, 1, 2]), task.draw(1, derive(2), [0, 1, 2])
    found = float(value(AlignedFeatures(layers=(1.0,), discrimination=0.0), subject, real, syn, context))
    maps = [subject.model.feature_maps(data.inputs) for data in (real, syn)]
    expected = 0.0
    for one, other in zip(*maps, strict=True):
        for label in range(3):
            apart = one[real.labels == label].mean(0) - other[syn.labels == label].mean(0)
            expected += float((apart**2).sum())
    assert found == pytest.approx(expected, rel=1e-4)


def test_observe_keeps_no_gradient(subject, context):
    real = batch([0, 1, 2])
    real.inputs.requires_grad_()
    means, last, _ = AlignedFeatures().observe(subject, real, context)
    assert not any(each.requires_grad for each in (*means, last))


def test_observe_needs_real_data(subject, context):
    with pytest.raises(InternalError, match="no real data"):
        AlignedFeatures().observe(subject, None, context)


def test_asks_for_as_many_real_samples_as_set():
    assert AlignedFeatures(per_class=7).real.per_class == 7
