from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attar.batch import Batch
from attar.contracts import Clock, Context, SetSpec, Subject
from attar.errors import UsageError
from attar.experts import ExpertSpec
from attar.nets import ConvNet
from attar.objectives.sre2l import SRE2L, RecoverLoss, SRe2LSettings
from attar.objectives.teachers import Teachers
from attar.rng import derive
from attar.runner import check, run
from attar.sizing import initial_batch
from attar.testing.toys import installed, toy_augment, toy_task

MODEL = "convnet,width=4,depth=2,norm=batch"


@pytest.fixture
def task():
    return toy_task((1, 8, 8), n=60)


def teacher():
    torch.manual_seed(0)
    model = ConvNet((1, 8, 8), 3, width=4, depth=2, norm="batch").double()
    for block in model.blocks:
        block[1].running_mean.normal_()
        block[1].running_var.uniform_(0.5, 2.0)
    return model.requires_grad_(False).eval()


def batch(n=6):
    gen = derive(0, "batch")
    return Batch(torch.randn(n, 1, 8, 8, generator=gen, dtype=torch.float64), torch.arange(n) % 3)


def value(loss, model, syn, task):
    ctx = Context(task, 0, Clock(0, 1))
    return loss.compare(Subject(model, 0), None, syn, ctx, {})


def slow_recovery(model, syn, weight):
    # Yin et al., NeurIPS 2023, equations 6 and 7: cross-entropy plus, for each BatchNorm layer, the
    # 2-norms of how far mean and variance over samples and positions are from the running ones.
    logits, hidden, apart = model(syn.inputs), syn.inputs, 0.0
    for convolution, norm, act, pool in model.blocks:
        entering = convolution(hidden)
        for statistic, kept in (("mean", norm.running_mean), ("var", norm.running_var)):
            squares = 0.0
            for channel in range(entering.shape[1]):
                values = entering[:, channel].flatten()
                mean = values.sum() / len(values)
                own = mean if statistic == "mean" else ((values - mean) ** 2).sum() / len(values)
                squares += (own - kept[channel]) ** 2
            apart = apart + squares**0.5
        hidden = pool(act(norm(entering)))
    picked = [logits[i].log_softmax(0)[y] for i, y in enumerate(syn.labels)]
    return -sum(picked) / len(picked) + weight * apart


def test_equals_equations_6_and_7(task):
    model, syn = teacher(), batch()
    found = value(RecoverLoss(statistics=0.3, augment=False), model, syn, task)
    torch.testing.assert_close(found, slow_recovery(model, syn, 0.3))


def test_statistics_of_the_batch_itself_cost_nothing(task):
    model, syn = teacher(), batch()
    hidden = syn.inputs
    for convolution, norm, act, pool in model.blocks:
        entering = convolution(hidden)
        rows = entering.transpose(0, 1).flatten(1)
        norm.running_mean.copy_(rows.mean(1))
        norm.running_var.copy_(rows.var(1, correction=0))
        hidden = pool(act(norm(entering)))
    with_them, without = (
        value(RecoverLoss(statistics=weight, augment=False), model, syn, task) for weight in (10.0, 0.0)
    )
    torch.testing.assert_close(with_them, without)


def test_no_hook_stays_behind(task):
    model = teacher()
    value(RecoverLoss(augment=False), model, batch(), task)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_draws_of_augmentation_follow_the_step(task):
    task = replace(task, augment=toy_augment())
    model, loss = teacher(), RecoverLoss()
    found = [
        float(loss.compare(Subject(model, 0), None, batch(), Context(task, 0, Clock(step, 5)), {}))
        for step in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("model", ["convnet,width=4,depth=1", "mlp,width=4"])
def test_a_model_without_batchnorm_is_refused_before_any_work(task, model):
    objective = SRE2L.build(SRe2LSettings(model=model))
    with pytest.raises(UsageError, match=r"BatchNorm.*norm=batch"):
        check(task, objective, model, 0)


def source(task, **changes):
    spec = ExpertSpec(**{"count": 1, "epochs": 4, "every": 4, "lr": 0.05, "momentum": 0.9, **changes})
    return Teachers(model=MODEL, experts=spec)


def test_teachers_are_trained_and_in_evaluation_mode(task):
    ctx, teachers = Context(task, 0, Clock(0, 1)), source(task, epochs=10, every=10, batch=10)
    teachers.prepare(ctx)
    model = teachers.next(teachers.init(ctx), ctx, None).model
    assert not any(module.training for module in model.modules())
    assert not any(each.requires_grad for each in model.parameters())
    right = torch.cat([model(part.inputs).argmax(1) == part.labels for part in task.epoch("train", 64)])
    assert right.float().mean() > 0.9


def test_teachers_keep_running_statistics(task):
    ctx, teachers = Context(task, 0, Clock(0, 1)), source(task)
    teachers.prepare(ctx)
    fresh = task.build(MODEL, derive(0, "fresh"))
    trained = teachers.next(teachers.init(ctx), ctx, None).model
    for (name, one), (_, other) in zip(fresh.named_buffers(), trained.named_buffers(), strict=True):
        assert not torch.equal(one, other), name


def test_all_teachers_take_part(task):
    ctx, teachers = Context(task, 0, Clock(0, 40)), source(task, count=3, epochs=1, every=1)
    teachers.prepare(ctx)
    state = teachers.init(ctx)
    versions = {teachers.next(state, replace(ctx, clock=Clock(step, 40)), None).version for step in range(40)}
    assert versions == {0, 1, 2}


def start(task, kind, **settings):
    spec = SetSpec(label_kind=kind, **settings)
    each = 4 if settings else 1
    init = initial_batch(task, "real", [2 * each] * 3, 0, installed())
    return task.synthesize(init, spec, derive(0, "set"))


def finished(task, syn, temperature=1.0, steps=1):
    settings = SRe2LSettings(model=MODEL, epochs=3, steps=steps, temperature=temperature, lr=1e-9)
    return run(task, SRE2L.build(settings), syn, steps=steps, optim=SRE2L.optimizers(settings), seed=0).syn


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_labels_are_what_the_teacher_answers(task, temperature):
    syn = finished(task, start(task, "probability"), temperature)
    settings = SRe2LSettings(model=MODEL, epochs=3)
    teachers, ctx = SRE2L.build(settings).source, Context(task, 0, Clock(0, 1))
    model = teachers.next(teachers.init(ctx), ctx, syn).model
    decoded = syn.decode()
    with torch.no_grad():
        expected = (model(decoded.inputs) / temperature).softmax(1)
    torch.testing.assert_close(decoded.targets.detach(), expected, atol=1e-4, rtol=1e-3)


def test_labels_of_mosaics_are_the_mean_over_their_pieces(task):
    syn = finished(task, start(task, "probability", parameterization="multi-formation"))
    settings = SRe2LSettings(model=MODEL, epochs=3)
    teachers, ctx = SRE2L.build(settings).source, Context(task, 0, Clock(0, 1))
    model = teachers.next(teachers.init(ctx), ctx, syn).model
    with torch.no_grad():
        answers = model(syn.decode().inputs).softmax(1).view(6, 4, 3).mean(1)
    torch.testing.assert_close(syn.decode().targets.detach()[::4], answers, atol=1e-4, rtol=1e-3)


def test_hard_labels_stay(task):
    assert finished(task, start(task, "hard")).decode().targets is None


def test_a_set_of_hard_labels_has_no_probabilities_to_replace(task):
    with pytest.raises(UsageError, match=r"objective\.labels=probability"):
        start(task, "hard").relabel(torch.full((6, 3), 1 / 3))
