"""Experts: trained as written, kept on disk, found again, and gone on with where they were stopped."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from attar.cache import cache_root, locked
from attar.contracts import PreparationStopped, Workplace
from attar.errors import DivergenceError, UsageError
from attar.experts import Experts, ExpertSpec, experts_folder, found_specs
from attar.nets import MLP
from attar.rng import derive, scoped
from attar.tensor import TensorTask
from attar.testing import toy_task
from attar.testing.toys import toy_augment
from safetensors.torch import load_file
from torch.nn import functional

SPEC = ExpertSpec(count=1, epochs=4, lr=0.1, batch=5)
NORMED = "convnet,width=3,depth=1,norm=batch"


def task(feature=(4,), **given):
    return toy_task(feature, n=12, validation=0, **given)


def experts(folder, arch="", of=None, **changes):
    return Experts(of or task(), arch, SPEC.model_copy(update=changes), folder)


def same(one, other):
    return all(map(torch.equal, one, other))


def apart(one, other):
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def copied(model):
    return [each.detach().clone() for each in model.parameters()]


def trained(of, arch, spec, index):
    """A plain training loop: the model, its parameters before and after each epoch, the last losses."""
    model = of.build(arch, derive(spec.seed, "expert", index, "network"))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
    )
    found, losses = [copied(model)], []
    for epoch in range(spec.epochs):
        gen = derive(spec.seed, "expert", index, "epoch", epoch)
        losses.clear()
        with scoped(gen):
            for batch in of.epoch("train", spec.batch, gen):
                shown = batch.inputs
                if spec.augment:
                    draws = of.augment.draw(len(batch), gen)
                    shown = of.augment.apply(batch, draws, torch.arange(len(batch))).inputs
                optimizer.zero_grad()
                losses.append(functional.cross_entropy(model(shown), batch.labels))
                losses[-1].backward()
                optimizer.step()
        found.append(copied(model))
    return model, found, [float(loss.detach()) for loss in losses]


def test_a_full_batch_is_plain_gradient_descent(tmp_path):
    (expert,) = experts(tmp_path, "linear", batch=100, weight_decay=0.03).make()
    (batch,) = task().epoch("train", 100)
    weight, bias = copied(task().build("linear", derive(0, "expert", 0, "network")))
    for epoch in range(5):
        assert apart(expert.snapshot(epoch), (weight, bias)) < 1e-6
        # The slope of cross-entropy is that of the logits: softmax minus one-hot.
        answers = (batch.inputs @ weight.T + bias).softmax(1)
        slope = (answers - functional.one_hot(batch.labels, 3)) / len(batch)
        weight = weight - 0.1 * (slope.T @ batch.inputs + 0.03 * weight)
        bias = bias - 0.1 * (slope.sum(0) + 0.03 * bias)


@pytest.mark.parametrize(
    "changes",
    [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"augment": True}, {"seed": 3}, {"batch": 100}],
    ids=["plain", "momentum", "weight decay", "augmented", "seed", "one batch"],
)
def test_snapshots_are_those_of_a_plain_loop(tmp_path, changes):
    made, of = {"count": 2, **changes}, task(augment=toy_augment())
    for index, expert in enumerate(experts(tmp_path, of=of, **made).make()):
        _, expected, _ = trained(of, "", SPEC.model_copy(update=made), index)
        assert apart(expert.snapshot(0), expected[0]) == 0
        for number, parameters in enumerate(expected):
            assert apart(expert.snapshot(number), parameters) < 1e-6
        assert apart(expected[3], expected[4]) > 1e-3


def test_the_last_snapshot_is_the_trained_model(tmp_path):
    (expert,) = experts(tmp_path).make()
    model = task().build("", derive(9, "other"))
    expert.restore(model)
    assert same(model.parameters(), expert.snapshot(SPEC.snapshots - 1))
    assert apart(copied(model), trained(task(), "", SPEC, 0)[1][-1]) < 1e-6


@pytest.mark.parametrize(("every", "snapshots"), [(1, 5), (2, 3), (4, 2)])
def test_snapshots_are_kept_every_so_many_epochs(tmp_path, every, snapshots):
    all_of_them = experts(tmp_path).make()[0]
    (expert,) = experts(tmp_path, every=every).make()
    assert SPEC.model_copy(update={"every": every}).snapshots == snapshots
    assert len(load_file(expert.path)["trajectory"]) == snapshots
    for number in range(snapshots):
        assert same(expert.snapshot(number), all_of_them.snapshot(number * every))


def test_buffers_are_restored_with_the_parameters(tmp_path):
    of = task((2, 6))
    (expert,) = experts(tmp_path, NORMED, of).make()
    model = of.build(NORMED, derive(9, "other"))
    expert.restore(model)
    expected, *_ = trained(of, NORMED, SPEC, 0)
    buffers = dict(model.named_buffers())
    assert buffers.keys() >= {"blocks.0.1.running_mean", "blocks.0.1.running_var"}
    assert buffers["blocks.0.1.num_batches_tracked"] == 4 * 3
    for name, value in expected.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, atol=1e-6), name


def test_the_record_tells_what_was_trained(tmp_path):
    (expert,) = experts(tmp_path, "linear").make()
    record = expert.record
    assert record.shapes == (("head.weight", (3, 4)), ("head.bias", (3,)))
    assert (record.architecture, record.index) == ("linear", 0)
    assert record.fingerprint == task().fingerprint
    *_, losses = trained(task(), "linear", SPEC, 0)
    assert record.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_each_epoch_is_told(tmp_path):
    notes = []
    made = experts(tmp_path, count=2, epochs=2).make(lambda *note: notes.append(note))
    assert [(done, epoch) for done, epoch, _ in notes] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [notes[1][2], notes[3][2]] == [expert.record.loss for expert in made]


def refuse(*note):
    raise AssertionError(f"trained again: {note}")


def test_experts_are_found_again(tmp_path):
    assert experts(tmp_path, count=2).get() is None
    made = experts(tmp_path, count=2).make()
    assert experts(tmp_path, count=2).make(refuse) == made
    assert experts(tmp_path, count=2).get() == made


def test_more_experts_later_keep_the_first(tmp_path):
    first = experts(tmp_path, count=2).make()
    assert experts(tmp_path, count=3).get() is None
    notes = []
    more = experts(tmp_path, count=3).make(lambda *note: notes.append(note))
    assert more[:2] == first
    assert [done for done, *_ in notes] == [2] * 4
    assert experts(tmp_path, count=1).make(refuse) == first[:1]


def test_experts_differ(tmp_path):
    one, other = experts(tmp_path, count=2).make()
    assert apart(one.snapshot(0), other.snapshot(0)) > 0.01
    assert apart(one.snapshot(4), other.snapshot(4)) > 0.01


CHANGES = {
    "epochs": 5,
    "every": 2,
    "lr": 0.2,
    "momentum": 0.5,
    "weight_decay": 0.1,
    "batch": 6,
    "augment": True,
    "dtype": "float16",
    "seed": 1,
}


@pytest.mark.parametrize(("name", "value"), CHANGES.items(), ids=CHANGES)
def test_other_settings_are_other_experts(tmp_path, name, value):
    assert experts(tmp_path).path(0) != experts(tmp_path, **{name: value}).path(0)


def test_every_setting_but_the_number_decides_the_file(tmp_path):
    assert {*CHANGES, "count"} == set(ExpertSpec.model_fields)
    assert experts(tmp_path).path(0) == experts(tmp_path, count=7).path(0)


def test_other_data_or_architectures_are_other_experts(tmp_path):
    others = [task(), task(seed=1), task(architecture="linear")]
    assert len({experts(tmp_path, of=of).path(0) for of in others}) == 3
    assert experts(tmp_path, "linear").path(0) == experts(tmp_path, of=others[2]).path(0)


def test_augmentation_counts_where_it_is_used(tmp_path):
    plain, augmented = task(), task(augment=toy_augment())
    for used in (False, True):
        paths = [experts(tmp_path, of=of, augment=used).path(0) for of in (plain, augmented)]
        assert (paths[0] != paths[1]) is used


def test_each_architecture_gives_its_own_experts(tmp_path):
    (one,), (other,) = (experts(tmp_path, arch).make() for arch in ("linear", "mlp,width=2"))
    assert len(one.snapshot(0)) != len(other.snapshot(0))


def test_experts_of_code_that_cannot_be_read_are_refused(tmp_path):
    of = task().with_architecture("shell:factory", MLP)
    with pytest.raises(UsageError, match="experts of 'shell:factory' cannot be kept"):
        experts(tmp_path, "shell:factory", of).make()


def test_they_are_kept_in_the_cache():
    assert experts_folder().is_relative_to(cache_root())


def stop_after(epochs):
    """A question that is answered with yes once, after so many epochs."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) == epochs


@pytest.mark.parametrize(("arch", "feature"), [("", (4,)), (NORMED, (2, 6))], ids=["mlp", "normed"])
@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_stopped_training_goes_on_and_ends_the_same(tmp_path, arch, feature, epochs):
    def made(name):
        given = {"count": 2, "momentum": 0.9, "augment": True}
        return experts(tmp_path / name, arch, task(feature, augment=toy_augment()), **given)

    whole, notes = made("whole").make(), []
    with pytest.raises(PreparationStopped):
        made("parts").make(stop=stop_after(epochs))
    parts = made("parts").make(lambda *note: notes.append(note))
    assert len(notes) == 8 - epochs
    for one, other in zip(whole, parts, strict=True):
        kept, again = load_file(one.path), load_file(other.path)
        assert kept.keys() == again.keys()
        assert all(torch.equal(kept[name], again[name]) for name in kept)
        assert one.record.loss == other.record.loss


def test_what_training_was_stopped_with_is_cleared_away(tmp_path):
    of = experts(tmp_path)
    with pytest.raises(PreparationStopped):
        of.make(stop=stop_after(2))
    partial = of.path(0).with_suffix(".partial")
    assert partial.is_dir()
    assert not of.path(0).exists()
    of.make()
    assert not partial.exists()


def test_training_may_be_stopped_again_and_again(tmp_path):
    of = experts(tmp_path / "parts", momentum=0.9)
    for _ in range(SPEC.epochs - 1):
        with pytest.raises(PreparationStopped):
            of.make(stop=lambda: True)
    (parts,), (whole,) = of.make(stop=lambda: True), experts(tmp_path / "whole", momentum=0.9).make()
    assert same(parts.snapshot(4), whole.snapshot(4))


@pytest.fixture
def slow(monkeypatch):
    """A task whose passes take 1000 seconds each."""
    now = [0.0]
    clock = SimpleNamespace(process_time=lambda: now[0], perf_counter=lambda: now[0])
    monkeypatch.setattr("attar.cost.time", clock)

    class Slow(TensorTask):
        def epoch(self, *given):
            now[0] += 1000
            return super().epoch(*given)

    return task(kind=Slow)


def test_training_that_broke_off_goes_on_from_what_was_saved_now_and_then(tmp_path, slow):
    of, epochs = experts(tmp_path / "parts", of=slow, momentum=0.9), []

    def break_off(done, epoch, loss):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        of.make(break_off)
    (parts,) = of.make(lambda done, epoch, loss: epochs.append(epoch))
    (whole,) = experts(tmp_path / "whole", momentum=0.9).make()
    assert epochs == [3, 4]
    assert same(parts.snapshot(4), whole.snapshot(4))


@pytest.mark.parametrize("stops", [0, 3])
def test_the_cost_is_that_of_all_parts(tmp_path, slow, stops):
    of = experts(tmp_path, of=slow)
    for _ in range(stops):
        with pytest.raises(PreparationStopped):
            of.make(stop=lambda: True)
    (expert,) = of.make()
    assert (expert.record.cost.cpu, expert.record.cost.wall) == (4000, 4000)


@pytest.mark.parametrize("left", [0.0, 0.01, 0.5, 0.99])
def test_a_damaged_expert_is_trained_again(tmp_path, left):
    of = experts(tmp_path, count=2)
    made = of.make()
    content, kept = made[1].path.read_bytes(), [each.clone() for each in made[1].snapshot(4)]
    made[1].path.write_bytes(content[: int(left * len(content))])
    assert of.get() is None
    notes = []
    again = of.make(lambda *note: notes.append(note))
    assert len(notes) == 4
    assert same(again[1].snapshot(4), kept)


def test_half_precision_takes_half_the_bytes(tmp_path):
    full, half = (experts(tmp_path, dtype=dtype).make()[0] for dtype in ("float32", "float16"))
    one, other = (load_file(expert.path)["trajectory"] for expert in (full, half))
    assert other.nbytes * 2 == one.nbytes
    assert full.path.stat().st_size - half.path.stat().st_size == pytest.approx(other.nbytes, abs=64)
    for number in range(5):
        assert all(each.dtype == torch.float32 for each in half.snapshot(number))
        assert 0 < apart(full.snapshot(number), half.snapshot(number)) < 1e-3


def test_values_beyond_half_precision_are_told(tmp_path):
    with pytest.raises(UsageError, match="does not fit into float16; store it as float32"):
        experts(tmp_path, "linear", lr=1e6, epochs=1, batch=100, dtype="float16").make()


def test_a_diverging_expert_is_told_with_its_step_size(tmp_path):
    with pytest.raises(DivergenceError, match=r"expert 0 diverged .* lower its step size \(now: 1e\+30\)"):
        experts(tmp_path, lr=1e30).make()
    assert experts(tmp_path, lr=1e30).get() is None


def test_an_expert_that_another_process_trains_comes_last(tmp_path):
    of, held, made_first = experts(tmp_path, count=2), threading.Event(), []

    def hold():
        with locked(of.path(0)):
            held.set()
            for _ in range(2000):
                if of.path(1).exists():
                    break
                time.sleep(0.005)
            made_first.append(of.path(1).exists() and not of.path(0).exists())

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    made = of.make()
    other.join()
    assert made_first == [True]
    assert [expert.record.index for expert in made] == [0, 1]


def test_an_expert_that_another_process_made_meanwhile_is_used(tmp_path):
    of, held = experts(tmp_path), threading.Event()
    (kept,) = of.make()
    content = kept.path.read_bytes()
    kept.path.unlink()

    def hold():
        with locked(of.path(0)):
            held.set()
            time.sleep(0.05)
            kept.path.write_bytes(content)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    assert of.make(refuse) == [kept]
    other.join()


def test_what_is_in_a_folder_is_found(tmp_path):
    experts(tmp_path, count=3).make()
    experts(tmp_path, count=2, lr=0.2).make()
    found = found_specs(task(), "", tmp_path)
    assert len(found) == 2
    assert set(found) == {SPEC.model_copy(update=each) for each in ({"count": 3}, {"count": 2, "lr": 0.2})}
    assert all(Experts(task(), "", spec, tmp_path).get() is not None for spec in found)


def test_experts_of_something_else_are_not_found(tmp_path):
    experts(tmp_path, of=task(seed=1)).make()
    experts(tmp_path, "linear").make()
    experts(tmp_path, of=task(augment=toy_augment()), augment=True).make()
    other = replace(task(), augment=replace(toy_augment(), mode="all"))
    assert found_specs(other, "", tmp_path) == []
    assert [spec.augment for spec in found_specs(task(augment=toy_augment()), "", tmp_path)] == [True]
    assert [spec.count for spec in found_specs(task(), "linear", tmp_path)] == [1]


def test_experts_after_a_missing_one_are_not_counted(tmp_path):
    made = experts(tmp_path, count=4).make()
    made[2].path.unlink()
    assert [spec.count for spec in found_specs(task(), "", tmp_path)] == [2]
    made[0].path.write_bytes(b"")
    assert found_specs(task(), "", tmp_path) == []


def test_a_folder_that_is_not_there_has_no_experts(tmp_path):
    assert found_specs(task(), "", tmp_path / "none") == []


def test_the_last_snapshot_is_of_the_last_epoch(tmp_path):
    (one,) = experts(tmp_path, epochs=3, every=2).make()
    (all_of_it,) = experts(tmp_path, epochs=3, every=1).make()
    assert one.record.shapes == all_of_it.record.shapes
    assert load_file(one.path)["trajectory"].shape[0] == 3
    assert same(one.snapshot(-1), all_of_it.snapshot(3))


def test_a_stop_between_two_experts_is_heard(tmp_path):
    of = experts(tmp_path, count=3, epochs=1)
    with pytest.raises(PreparationStopped):
        of.make(stop=lambda: True)
    assert [of.path(index).exists() for index in range(3)] == [True, False, False]


def test_a_damaged_checkpoint_begins_anew(tmp_path):
    of = experts(tmp_path / "parts")
    with pytest.raises(PreparationStopped):
        of.make(stop=stop_after(2))
    for path in of.path(0).with_suffix(".partial").rglob("*.safetensors"):
        path.write_bytes(b"")
    (again,), (whole,) = of.make(), experts(tmp_path / "whole").make()
    assert same(again.snapshot(4), whole.snapshot(4))


@pytest.mark.parametrize(("lr", "warned"), [(1e-6, True), (0.3, False)])
def test_experts_that_learned_little_are_told_of(tmp_path, caplog, lr, warned):
    experts(tmp_path, epochs=20, lr=lr).prepare(Workplace())
    assert ("have learned little" in caplog.text) == warned


@pytest.mark.slow
def test_processes_train_the_experts_that_one_does(tmp_path):
    told = []
    one, two = (experts(tmp_path / name, count=3) for name in ("one", "two"))
    apart_made = two.make(lambda done, epoch, loss: told.append((done, epoch, loss > 0)), workers=2)
    for ours, other in zip(one.make(), apart_made, strict=True):
        assert same(ours.snapshot(-1), other.snapshot(-1))
    assert told == [(0, 4, True), (1, 4, True), (2, 4, True)]
