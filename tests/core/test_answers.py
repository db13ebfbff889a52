from __future__ import annotations

import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.objectives import AlignedFeatures, Answered, CharacteristicMatch, MeanEmbedding
from attar.objectives.answers import class_answers
from attar.rng import derive
from torch.nn import functional


@pytest.fixture
def context(blobs):
    return Context(task=blobs(), seed=0, clock=Clock(0, 1))


@pytest.fixture
def subject(context):
    model = context.task.build("mlp,width=6,depth=1,act=gelu", derive(0, "model"))
    return Subject(model.double().requires_grad_(False), 0)


def batch(labels, seed=0, soft=False):
    gen = derive(seed, "batch")
    values = torch.randn(len(labels), 4, generator=gen, dtype=torch.float64)
    scores = torch.randn(len(labels), 3, generator=gen, dtype=torch.float64)
    return Batch(values, torch.tensor(labels), scores.softmax(1) if soft else None)


def value(loss, subject, real, syn, context):
    return loss.compare(subject, loss.observe(subject, real, context), syn, context, {})


def slow_answers(model, syn, classes):
    # 1/C sum_c mean over s in S_c of -sum_j p_j log softmax(f(s))_j, where p is 1 at the class
    # unless the set says otherwise
    total = 0.0
    for label in range(classes):
        losses = []
        for row, (x, y) in enumerate(zip(syn.inputs, syn.labels.tolist(), strict=True)):
            if y != label:
                continue
            scores = model(x[None])[0].tolist()
            chances = [math.exp(each) / sum(map(math.exp, scores)) for each in scores]
            wanted = (
                [float(j == y) for j in range(classes)] if syn.targets is None else syn.targets[row].tolist()
            )
            losses.append(-sum(p * math.log(q) for p, q in zip(wanted, chances, strict=True)))
        total += sum(losses) / len(losses) if losses else 0.0
    return total / classes


def test_of_a_balanced_set_is_its_mean_cross_entropy(subject):
    syn = batch([0, 1, 2, 2, 0, 1])
    expected = functional.cross_entropy(subject.model(syn.inputs), syn.labels)
    torch.testing.assert_close(class_answers(subject, syn, 3, 512), expected)


def test_classes_weigh_alike_whatever_they_hold(subject):
    syn = batch([0, 1, 1, 1, 2, 2])
    found = float(class_answers(subject, syn, 3, 512))
    assert found == pytest.approx(slow_answers(subject.model, syn, 3), rel=1e-9)


def test_probabilities_are_what_is_answered(subject):
    syn = batch([0, 1, 1, 2], soft=True)
    found = float(class_answers(subject, syn, 3, 512))
    assert found == pytest.approx(slow_answers(subject.model, syn, 3), rel=1e-9)


@pytest.mark.parametrize("soft", [False, True])
def test_is_a_sum_over_classes(subject, soft):
    syn = batch([0, 1, 2, 2, 0, 1, 1], soft=soft)
    parts = [class_answers(subject, syn.of(label), 3, 512) for label in range(3)]
    torch.testing.assert_close(sum(parts), class_answers(subject, syn, 3, 512))


@pytest.mark.parametrize("chunk", [1, 3])
def test_pieces_change_neither_value_nor_gradient(subject, chunk):
    found = []
    for size in (512, chunk):
        syn = batch([0, 1, 2, 2, 1])
        syn.inputs.requires_grad_()
        result = class_answers(subject, syn, 3, size)
        found.append((result, *torch.autograd.grad(result, syn.inputs)))
    torch.testing.assert_close(found[0], found[1])


def test_a_coupled_model_sees_the_batch_whole(blobs):
    task = blobs(feature=(1, 6, 6))
    model = task.build("convnet,width=4,depth=1,norm=batch", derive(0))
    syn = task.draw(4, derive(0), [0, 1, 2])
    whole, pieces = (class_answers(Subject(model, 0), syn, 3, chunk) for chunk in (512, 2))
    torch.testing.assert_close(whole, pieces)


def test_gradcheck_in_float64(subject):
    labels = torch.tensor([0, 1, 1, 2])

    def scalar(values):
        return class_answers(subject, Batch(values, labels), 3, 2)

    assert torch.autograd.gradcheck(scalar, batch([0] * 4).inputs.requires_grad_())


@pytest.mark.parametrize("other", [MeanEmbedding(), AlignedFeatures()])
def test_answers_are_added_to_the_other_loss(subject, context, other):
    real, syn = batch([0, 1, 2, 0], 1), batch([2, 0, 1, 1], 2)
    found = float(value(Answered(other, weight=0.7), subject, real, syn, context))
    own = float(value(other, subject, real, syn, context))
    assert found == pytest.approx(own + 0.7 * slow_answers(subject.model, syn, 3), rel=1e-9)


def test_with_answers_the_whole_is_a_sum_over_classes_too(subject, context):
    real, syn = batch([0, 1, 2, 0], 1), batch([2, 0, 1, 1], 2)
    loss = Answered(MeanEmbedding(), weight=0.7)
    parts = [value(loss, subject, real, syn.of(label), context) for label in range(3)]
    torch.testing.assert_close(sum(parts), value(loss, subject, real, syn, context))


@pytest.mark.parametrize("other", [MeanEmbedding(), CharacteristicMatch(), AlignedFeatures()])
def test_only_the_zero_at_the_real_data_is_no_longer_claimed(other):
    assert Answered(other, weight=1.0).claims == set(other.claims) - {"zero_at_real"}


def test_asks_for_what_the_other_loss_asks_for(subject, context):
    other = AlignedFeatures(per_class=7)
    loss, real = Answered(other, weight=1.0), batch([0, 1, 2])
    assert (loss.needs, loss.real) == (other.needs, other.real)
    torch.testing.assert_close(loss.observe(subject, real, context), other.observe(subject, real, context))
