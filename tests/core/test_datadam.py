from __future__ import annotations

import math

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, Subject
from attar.errors import InternalError
from attar.objectives import AttentionMatch, MeanEmbedding
from attar.objectives.datadam import attention
from attar.rng import derive

VECTORS, IMAGES = (4,), (2, 8, 8)
MODELS = {VECTORS: "mlp,width=5,depth=3,act=gelu", IMAGES: "convnet,width=3,depth=2,act=gelu"}
KINDS = pytest.mark.parametrize("feature", [VECTORS, IMAGES])


@pytest.fixture
def setting(blobs):
    def make(feature=VECTORS, arch=None):
        task = blobs(feature=feature, counts=(8, 8, 8))
        model = task.build(arch or MODELS[feature], derive(0, "model")).double().requires_grad_(False)
        return Subject(model, 0), Context(task=task, seed=0, clock=Clock(0, 1))

    return make


def random(*shape, seed=0):
    return torch.randn(shape, generator=derive(seed, "values"), dtype=torch.float64)


def batch(labels, feature=VECTORS, seed=0):
    return Batch(random(len(labels), *feature, seed=seed), torch.tensor(labels))


def value(loss, subject, real, syn, context):
    return loss.compare(subject, loss.observe(subject, real, context), syn, context, {})


def slow_attention(features, power):
    # Sajedi et al., ICCV 2023, section 3.2: A = sum_i |F_i|^p over the channels i, as a vector z,
    # and z / ||z||_2. Of a vector each number is a position.
    channels = features.flatten(1).tolist() if features.ndim > 1 else [features.tolist()]
    positions = [sum(abs(channel[at]) ** power for channel in channels) for at in range(len(channels[0]))]
    length = math.sqrt(sum(each**2 for each in positions))
    return [each / length for each in positions]


def mean(rows):
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def slow_match(model, real, syn, classes, loss):
    # Sajedi et al., ICCV 2023, equations 2 to 4:
    # s sum_c ( sum_{l < L} ||mean a_l(T_c) - mean a_l(S_c)||^2
    #           + lambda ||mean f_L(T_c) - mean f_L(S_c)||^2 )
    total = 0.0
    for label in range(classes):
        shown = []
        for data in (real, syn):
            maps = [
                model.feature_maps(x[None])
                for x, y in zip(data.inputs, data.labels, strict=True)
                if y == label
            ]
            if not maps:
                break
            *before, _ = range(len(maps[0]))
            shown.append(
                [mean([slow_attention(each[layer][0], loss.power) for each in maps]) for layer in before]
            )
            shown[-1].append(mean([each[-1].flatten().tolist() for each in maps]))
        if len(shown) < 2:
            continue
        apart = [
            sum((p - q) ** 2 for p, q in zip(one, other, strict=True))
            for one, other in zip(*shown, strict=True)
        ]
        total += sum(apart[:-1]) + loss.last * apart[-1]
    return loss.scale * total


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 4, 3)])
def test_attention_is_the_strength_of_all_channels_at_each_position(shape, power):
    features = random(2, *shape)
    expected = torch.tensor([slow_attention(each, power) for each in features], dtype=torch.float64)
    torch.testing.assert_close(attention(features, power), expected)


def test_attention_of_each_sample_has_length_1():
    lengths = torch.linalg.vector_norm(attention(random(4, 3, 5, 2), 2.0), dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_numbers_of_a_vector_are_positions_of_one_channel():
    vectors = random(3, 6)
    expected = torch.tensor([slow_attention(each, 2.0) for each in vectors], dtype=torch.float64)
    torch.testing.assert_close(attention(vectors, 2.0), expected)
    torch.testing.assert_close(attention(vectors[:, None], 2.0), expected)


def test_a_silent_sample_looks_nowhere():
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    maps = attention(features, 1.0)
    assert torch.equal(maps, torch.zeros(1, 4))
    assert torch.isfinite(torch.autograd.grad(maps.sum(), features)[0]).all()


@KINDS
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_equals_equations_2_to_4(setting, feature, power):
    subject, context = setting(feature)
    real, syn = batch([0, 1, 2, 0, 2], feature, 1), batch([2, 0, 1, 1], feature, 2)
    loss = AttentionMatch(power=power, last=0.3, scale=7.0)
    found = float(value(loss, subject, real, syn, context))
    assert found == pytest.approx(slow_match(subject.model, real, syn, 3, loss), rel=1e-9)


@KINDS
def test_is_zero_where_synthetic_equals_real(setting, feature):
    subject, context = setting(feature)
    real = batch([0, 1, 2, 1], feature)
    assert float(value(AttentionMatch(), subject, real, real, context)) == 0.0


def test_a_single_layer_is_matched_by_its_features_alone(setting):
    subject, context = setting(IMAGES, "convnet,width=3,depth=1")
    real, syn = batch([0, 1, 2], IMAGES, 1), batch([2, 0, 1], IMAGES, 2)
    found = value(AttentionMatch(last=0.25, scale=8.0), subject, real, syn, context)
    torch.testing.assert_close(found, 2 * value(MeanEmbedding(), subject, real, syn, context))


def test_strength_counts_in_the_last_layer_only(setting):
    subject, context = setting(VECTORS, "mlp,width=5,depth=2,act=relu")
    for layer in subject.model.layers:
        layer[0].bias.zero_()
    real = batch([0, 1, 2])
    louder = real.with_inputs(3 * real.inputs)
    assert float(value(AttentionMatch(last=0.0), subject, real, louder, context)) == pytest.approx(
        0, abs=1e-12
    )
    assert float(value(AttentionMatch(), subject, real, louder, context)) > 1e-3


def test_absent_classes_are_ignored(setting):
    subject, context = setting()
    real, syn, loss = batch([0, 1, 2, 0, 1], seed=1), batch([1, 1], seed=2), AttentionMatch()
    found = float(value(loss, subject, real, syn, context))
    assert found == pytest.approx(slow_match(subject.model, real.of(1), syn, 3, loss), rel=1e-9)


def test_order_within_the_batch_does_not_matter(setting):
    subject, context = setting()
    real, syn = batch([0, 1, 2, 0], seed=1), batch([0, 0, 1, 2], seed=2)
    turned = syn.take(torch.tensor([3, 1, 0, 2]))
    one, other = (value(AttentionMatch(), subject, real, each, context) for each in (syn, turned))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("chunk", [1, 3])
def test_pieces_change_neither_value_nor_gradient(setting, chunk):
    subject, context = setting(IMAGES)
    real, found = batch([0, 1, 2, 0, 1], IMAGES, 1), []
    for loss in (AttentionMatch(), AttentionMatch(chunk=chunk)):
        syn = batch([0, 0, 1, 2, 2], IMAGES, 2)
        syn.inputs.requires_grad_()
        result = value(loss, subject, real, syn, context)
        found.append((result, *torch.autograd.grad(result, syn.inputs)))
    torch.testing.assert_close(found[0], found[1])


def test_a_coupled_model_sees_the_batch_whole(setting):
    subject, context = setting(IMAGES, "convnet,width=3,depth=2,norm=batch")
    real = batch([0, 1, 2, 0, 1, 2], IMAGES)
    whole, pieces = (AttentionMatch(chunk=chunk).observe(subject, real, context) for chunk in (512, 2))
    torch.testing.assert_close(whole.means, pieces.means)


@KINDS
def test_gradcheck_in_float64(setting, feature):
    small = (2, 4, 4) if feature == IMAGES else feature
    subject, context = setting(small, MODELS[feature])
    loss, labels = AttentionMatch(power=2.0, last=0.3, scale=2.0, chunk=2), [0, 1, 1]
    stats = loss.observe(subject, batch([0, 1, 2, 1], small, 1), context)

    def scalar(values):
        return loss.compare(subject, stats, Batch(values, torch.tensor(labels)), context, {})

    assert torch.autograd.gradcheck(scalar, batch(labels, small, 2).inputs.requires_grad_())


def test_observe_keeps_no_gradient(setting):
    subject, context = setting()
    real = batch([0, 1, 2])
    real.inputs.requires_grad_()
    assert not any(each.requires_grad for each in AttentionMatch().observe(subject, real, context).means)


def test_observe_needs_real_data(setting):
    subject, context = setting()
    with pytest.raises(InternalError, match="no real data"):
        AttentionMatch().observe(subject, None, context)


def test_asks_for_as_many_real_samples_as_set():
    assert AttentionMatch(per_class=7).real.per_class == 7
