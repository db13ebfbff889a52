"""Gradient matching against the papers' equations, written out slowly."""

import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.nets import MLP, ConvNet
from attar.objectives.gradient import GradientMatch, absolute, cosine_rows, squared
from attar.testing import toy_task
from torch import nn

CLASSES = 3


def batch(feature, n, seed):
    gen = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return Batch(torch.randn((n, *feature), generator=gen, dtype=torch.float64), labels)


def context(feature):
    return Context(toy_task(feature, CLASSES), 0, Clock(0, 1))


def gradients(model, inputs, labels):
    """The gradients of the mean cross-entropy, through the model's own parameters."""
    model.zero_grad()
    logits = model(inputs)
    # Equation by hand: −log softmax of the true class.
    loss = sum(torch.logsumexp(row, 0) - row[label] for row, label in zip(logits, labels, strict=True))
    named = dict(model.named_parameters())
    found = torch.autograd.grad(loss / len(labels), list(named.values()), create_graph=True)
    return dict(zip(named, found, strict=True))


def cosine_by_hand(real, syn):
    total = 0.0
    for row, match in zip(real.tolist(), syn.tolist(), strict=True):
        one, other = list(_flat(row)), list(_flat(match))
        if not any(one):
            continue
        dot = sum(a * b for a, b in zip(one, other, strict=True))
        norm = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
        total += 1 - dot / norm if norm else 1.0
    return total


def _flat(value):
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def squared_by_hand(real, syn):
    return sum((a - b) ** 2 for a, b in zip(_flat(real.tolist()), _flat(syn.tolist()), strict=True))


def absolute_by_hand(real, syn):
    return sum(abs(a - b) for a, b in zip(_flat(real.tolist()), _flat(syn.tolist()), strict=True))


def expected(model, real, syn, by_hand, keep):
    total = 0.0
    for label in range(CLASSES):
        parts = []
        for each in (real, syn):
            rows = [row for row in range(len(each)) if each.labels[row] == label]
            parts.append(gradients(model, each.inputs[rows], each.labels[rows]))
        total += sum(
            by_hand(parts[0][name], parts[1][name]) for name in parts[0] if keep(name, parts[0][name])
        )
    return total


def found(loss, model, real, syn):
    subject = Subject(model, 0)
    ctx = context(tuple(real.inputs.shape[1:]))
    return loss.compare(subject, loss.observe(subject, real, ctx), syn, ctx, {})


@pytest.mark.parametrize(
    ("distance", "by_hand"),
    [(cosine_rows, cosine_by_hand), (squared, squared_by_hand), (absolute, absolute_by_hand)],
)
@pytest.mark.parametrize(
    ("make", "feature"),
    [
        (lambda: MLP((4,), CLASSES, width=5, depth=1), (4,)),
        (lambda: ConvNet((2, 8), CLASSES, width=4, depth=1), (2, 8)),
        (lambda: ConvNet((1, 6, 6), CLASSES, width=3, depth=1), (1, 6, 6)),
    ],
    ids=["mlp", "sequence", "image"],
)
def test_loss_is_the_papers(distance, by_hand, make, feature):
    torch.manual_seed(0)
    model = make().double()
    real, syn = batch(feature, 12, 1), batch(feature, 6, 2)
    value = found(GradientMatch(distance=distance), model, real, syn)
    reference = expected(model, real, syn, by_hand, lambda name, grad: grad.ndim > 1)
    assert value.item() == pytest.approx(reference, rel=1e-9)


def test_vectors_take_part_where_asked():
    torch.manual_seed(0)
    model = MLP((4,), CLASSES, width=5, depth=1).double()
    real, syn = batch((4,), 12, 1), batch((4,), 6, 2)
    value = found(GradientMatch(distance=squared, vectors=True), model, real, syn)
    assert value.item() == pytest.approx(
        expected(model, real, syn, squared_by_hand, lambda name, grad: True), rel=1e-9
    )


def test_classifier_is_left_out_where_asked():
    torch.manual_seed(0)
    model = MLP((4,), CLASSES, width=5, depth=1).double()
    real, syn = batch((4,), 12, 1), batch((4,), 6, 2)
    value = found(GradientMatch(distance=squared, head=False), model, real, syn)
    kept = expected(model, real, syn, squared_by_hand, lambda name, grad: name == "layers.0.0.weight")
    assert value.item() == pytest.approx(kept, rel=1e-9)


def test_a_lone_matrix_is_no_classifier_to_leave_out():
    model = nn.Sequential(nn.Linear(4, CLASSES)).double()
    model.coupled = False
    real, syn = batch((4,), 12, 1), batch((4,), 6, 2)
    assert found(GradientMatch(head=False), model, real, syn).item() > 0


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_gradient_is_that_of_finite_differences(norm):
    torch.manual_seed(0)
    # A smooth activation, since differences across a kink tell nothing.
    model = ConvNet((1, 4, 4), CLASSES, width=3, depth=1, norm=norm, act="gelu").double().eval()
    real, syn = batch((1, 4, 4), 6, 1), batch((1, 4, 4), 3, 2)
    loss, subject, ctx = GradientMatch(), Subject(model, 0), context((1, 4, 4))
    stats = loss.observe(subject, real, ctx)

    def value(inputs):
        return loss.compare(subject, stats, syn.with_inputs(inputs), ctx, {})

    assert torch.autograd.gradcheck(value, (syn.inputs.requires_grad_(),))


def test_pieces_change_nothing():
    torch.manual_seed(0)
    model = ConvNet((1, 6, 6), CLASSES, width=3, depth=1).double()
    real, syn = batch((1, 6, 6), 30, 1), batch((1, 6, 6), 6, 2)
    whole = found(GradientMatch(chunk=512), model, real, syn)
    assert found(GradientMatch(chunk=3), model, real, syn).item() == pytest.approx(whole.item(), rel=1e-9)


def test_coupled_rows_go_through_the_model_together():
    torch.manual_seed(0)
    model = ConvNet((1, 6, 6), CLASSES, width=3, depth=1, norm="batch").double()
    real, syn = batch((1, 6, 6), 12, 1), batch((1, 6, 6), 6, 2)
    total = 0.0
    for label in range(CLASSES):
        grads = []
        for each in (real, syn):
            # All rows are normalized together; the loss is that of one class.
            logits = model(each.inputs)[each.labels == label]
            loss = nn.functional.cross_entropy(logits, each.labels[each.labels == label])
            named = [(name, each) for name, each in model.named_parameters() if each.ndim > 1]
            grads.append(torch.autograd.grad(loss, [each for _, each in named]))
        total += sum(cosine_by_hand(one, other) for one, other in zip(*grads, strict=True))
    assert found(GradientMatch(), model, real, syn).item() == pytest.approx(total, rel=1e-9)


def test_probabilities_are_trained_towards():
    torch.manual_seed(0)
    model = MLP((4,), CLASSES, width=5, depth=1).double()
    real, syn = batch((4,), 12, 1), batch((4,), 6, 2)
    one_hot = nn.functional.one_hot(syn.labels, CLASSES).double()
    soft = Batch(syn.inputs, syn.labels, one_hot.requires_grad_())
    hard = found(GradientMatch(), model, real, syn)
    value = found(GradientMatch(), model, real, soft)
    assert value.item() == pytest.approx(hard.item(), rel=1e-9)
    value.backward()
    assert one_hot.grad.abs().sum() > 0


def test_dead_rows_have_no_direction():
    real, syn = torch.zeros(2, 3), torch.ones(2, 3, requires_grad=True)
    value = cosine_rows(real, syn)
    value.backward()
    assert value.item() == 0
    assert torch.equal(syn.grad, torch.zeros(2, 3))
    syn = torch.zeros(2, 3, requires_grad=True)
    cosine_rows(torch.ones(2, 3), syn).backward()
    assert bool(torch.isfinite(syn.grad).all())


def test_large_classes_count_for_more_where_asked():
    model, feature = MLP((5,), CLASSES, width=4).double(), (5,)
    real, syn = batch(feature, 9, 0), batch(feature, 6, 1)
    task = toy_task(feature, CLASSES)
    rows = torch.cat([(task.labels == label).nonzero()[:n, 0] for label, n in enumerate((4, 2, 1))])
    uneven = Context(task.subset(rows), 0, Clock(0, 1))
    subject, parts = Subject(model=model, version=0), []
    for label in range(CLASSES):
        plain = GradientMatch()
        stats = plain.observe(subject, real, uneven)
        parts.append(plain.compare(subject, stats, syn.of(label), uneven, {}).item())
    weighted = GradientMatch(weighted=True)
    stats = weighted.observe(subject, real, uneven)
    total = weighted.compare(subject, stats, syn, uneven, {}).item()
    assert total == pytest.approx(parts[0] + parts[1] / 2 + parts[2] / 4)
