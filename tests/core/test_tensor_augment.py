from __future__ import annotations

import pytest
import torch
from attar.batch import Batch
from attar.rng import derive
from attar.tensor import Gain, Mixup, Noise, Shift, TensorAugment


class Add:
    """Adds a fixed amount, so that what was applied can be read off."""

    def __init__(self, amount):
        self.amount = amount

    def draw(self, k, gen):
        return torch.rand(k, generator=gen)

    def transform(self, values, draws):
        return values + self.amount + draws[:, None]


def zeros(n, *feature):
    return Batch(torch.zeros(n, *(feature or (2,))), torch.arange(n) % 3)


def applied(augment, n, which, k=6, seed=0):
    params = augment.draw(k, derive(seed, "augment"))
    return augment.apply(zeros(n), params, which).inputs[:, 0], params


def test_one_applies_the_chosen_operation_to_each_row():
    which = torch.tensor([5, 0, 3, 3, 1])
    found, params = applied(TensorAugment((Add(10), Add(20), Add(30))), 5, which)
    choice = params.choice[which]
    wanted = [
        10 * (int(c) + 1) + float(params.numbers[int(c)][w]) for c, w in zip(choice, which, strict=True)
    ]
    assert found.tolist() == pytest.approx(wanted)


def test_one_uses_every_operation_in_the_long_run():
    params = TensorAugment((Add(1), Add(2), Add(3))).draw(60, derive(0))
    assert params.choice.unique().tolist() == [0, 1, 2]


def test_all_applies_every_operation_in_order():
    augment = TensorAugment((Add(10), Gain(2.0)), mode="all")
    found, params = applied(augment, 6, torch.arange(6))
    wanted = (10 + params.numbers[0]) * 2.0 ** (2 * params.numbers[1] - 1)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("mode", ["one", "all"])
def test_which_decides_what_rows_share(mode):
    augment = TensorAugment((Add(10), Add(20)), mode)
    same, _ = applied(augment, 6, torch.zeros(6, dtype=torch.int64))
    assert len(same.unique()) == 1
    by_class, _ = applied(augment, 6, torch.arange(6) % 3)
    assert torch.equal(by_class[:3], by_class[3:])
    assert len(by_class.unique()) == 3
    each, _ = applied(augment, 6, torch.arange(6))
    assert len(each.unique()) == 6


@pytest.mark.parametrize("mode", ["one", "all"])
def test_one_draw_fits_batches_of_any_size(mode):
    augment = TensorAugment((Noise(0.5), Gain(), Shift(1, axes=1)), mode)
    params = augment.draw(3, derive(0))
    real = Batch(torch.ones(7, 4), torch.tensor([0, 1, 2, 2, 1, 0, 1]))
    syn = Batch(torch.ones(3, 4), torch.tensor([0, 1, 2]))
    of_real = augment.apply(real, params, real.labels)
    of_syn = augment.apply(syn, params, syn.labels)
    assert torch.equal(of_real.inputs, of_syn.inputs[real.labels])
    assert torch.equal(of_real.labels, real.labels)


@pytest.mark.parametrize("mode", ["one", "all"])
def test_gradient_flows_and_the_input_stays(mode):
    augment = TensorAugment((Noise(), Gain(), Shift(1, axes=1)), mode)
    values = torch.ones(8, 4, requires_grad=True)
    before = values.detach().clone()
    batch = Batch(values, torch.zeros(8, dtype=torch.int64))
    augment.apply(batch, augment.draw(8, derive(0)), torch.arange(8)).inputs.sum().backward()
    assert torch.equal(values, before)
    assert (values.grad != 0).any(1).all()


def test_draws_come_from_the_generator():
    augment = TensorAugment((Add(1), Add(2)))
    which = torch.arange(6)
    one, same, other = (applied(augment, 6, which, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_an_empty_batch_stays_empty():
    augment = TensorAugment((Noise(), Gain()))
    found = augment.apply(zeros(0), augment.draw(1, derive(0)), torch.zeros(0, dtype=torch.int64))
    assert found.inputs.shape == (0, 2)


def test_repr_names_every_setting():
    assert "Noise(std=0.3)" in repr(TensorAugment((Noise(0.3),)))


def test_gain_is_uniform_on_a_logarithmic_scale_within_its_limits():
    gain = Gain(1.5)
    factors = gain.transform(torch.ones(4000, 1), gain.draw(4000, derive(0)))
    assert 1 / 1.5 <= float(factors.min()) < 0.68
    assert 1.48 < float(factors.max()) <= 1.5
    assert abs(float(factors.log().mean())) < 0.02


def test_equal_draws_give_equal_noise():
    noise = Noise(0.5)
    found = noise.transform(torch.zeros(3, 2, 5), torch.tensor([7, 8, 7]))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_noise_has_its_standard_deviation():
    noise = Noise(0.5)
    assert float(noise.transform(torch.zeros(40, 500), noise.draw(40, derive(0))).std()) == pytest.approx(
        0.5, rel=0.03
    )


def slow_shift(sample, down, right):
    moved = torch.zeros_like(sample)
    height, width = sample.shape[-2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                moved[..., y, x] = sample[..., y - down, x - right]
    return moved


@pytest.mark.parametrize("move", [(0, 0), (1, 0), (0, -2), (-1, 2), (5, 0), (0, -9)])
def test_shift_equals_a_loop(move):
    values = torch.rand(2, 3, 4, 5, generator=derive(0))
    found = Shift(9).transform(values, torch.tensor([move, (0, 1)]))
    assert torch.equal(found[0], slow_shift(values[0], *move))
    assert torch.equal(found[1], slow_shift(values[1], 0, 1))


def test_shift_draws_every_distance():
    assert Shift(2, axes=1).draw(200, derive(0)).unique().tolist() == [-2, -1, 0, 1, 2]


class TestMixup:
    labels = torch.tensor([0, 1, 0, 1, 1, 2])
    values = torch.arange(6.0)[:, None].expand(6, 3)

    def test_samples_move_toward_others_of_their_class(self):
        # λx + (1 - λ)x' with x' the next of the class where the second number is 0.
        draws = torch.tensor([[0.75, 0.0]]).expand(6, 2)
        mixed = Mixup().mix(self.values, self.labels, draws)[:, 0]
        others = torch.tensor([2.0, 3.0, 0.0, 4.0, 1.0, 5.0])
        torch.testing.assert_close(mixed, 0.75 * torch.arange(6.0) + 0.25 * others)

    @pytest.mark.parametrize("along", [0.0, 0.5, 0.999999])
    def test_no_sample_is_mixed_with_itself_but_where_it_is_alone(self, along):
        draws = torch.tensor([[0.5, along]]).expand(6, 2)
        mixed = Mixup().mix(self.values, self.labels, draws)[:, 0]
        assert (mixed != torch.arange(6.0)).tolist() == [True] * 5 + [False]
        for label, allowed in ((0, {0.0, 2.0}), (1, {1.0, 3.0, 4.0})):
            own = self.labels == label
            others = 2 * mixed[own] - torch.arange(6.0)[own]
            assert set(others.tolist()) <= allowed

    def test_lambda_is_beta_distributed_and_at_least_a_half(self):
        share = Mixup(1.0).draw(4000, torch.Generator().manual_seed(0))[:, 0]
        # Beta(1, 1) is uniform; the larger of λ and 1 - λ is uniform on [1/2, 1].
        assert float(share.min()) >= 0.5
        assert float(share.mean()) == pytest.approx(0.75, abs=0.01)
        narrow = Mixup(0.2).draw(4000, torch.Generator().manual_seed(0))[:, 0]
        assert float(narrow.mean()) > 0.85

    def test_means_of_classes_are_kept(self):
        # Where all draws are equal, each sample is once the neighbor of another.
        draws = torch.tensor([[0.6, 0.4]]).expand(6, 2)
        mixed = Mixup().mix(self.values, self.labels, draws)
        for label in range(3):
            own = self.labels == label
            torch.testing.assert_close(mixed[own].mean(0), self.values[own].mean(0))
