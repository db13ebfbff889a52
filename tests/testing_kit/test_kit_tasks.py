"""Each law of a task, its models and its augmentation has a modality that breaks it, and it alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from attar.nets import Linear
from attar.rng import derive
from attar.tensor import TensorAugment, TensorTask
from attar.testing import ToyModality, checks_for_modality, toy_augment
from attar.testing.laws import law_name
from attar.testing.model_laws import AUGMENT_LAWS, MODEL_LAWS
from attar.testing.task_laws import TASK_LAWS
from torch import nn


class Quick(ToyModality):
    def __init__(self, kind: type[TensorTask] = TensorTask, change: Callable = lambda task: task, **given):
        super().__init__(kind=kind, **given)
        self.change = change

    def load(self, request):
        return self.change(super().load(request))

    def render(self, batch, info):
        # Drawing is what takes the kit's time; one law looks at it, elsewhere.
        return b"\x89PNG\r\n\x1a\n....IEND...."[:-4]

    def exports(self):
        # Parquet needs a library that is slow to import.
        return {"npz": super().exports()["npz"]}


class FarLabels(TensorTask):
    def epoch(self, split, size, gen=None):
        for batch in super().epoch(split, size, gen):
            yield replace(batch, labels=batch.labels + 100 * (split == "validation"))


class ShortCounts(TensorTask):
    @property
    def counts(self):
        return super().counts.to(torch.int32)


class DoubleBatches(TensorTask):
    def epoch(self, split, size, gen=None):
        for batch in super().epoch(split, size, gen):
            yield batch.with_inputs(batch.inputs.double()) if split == "validation" else batch


class GreedyDraw(TensorTask):
    def draw(self, n, gen, labels=None):
        return super().draw(n + 1, gen, labels)


class RepeatingDraw(TensorTask):
    def draw(self, n, gen, labels=None):
        pools = [self._rows.of(label) for label in labels] if labels is not None else [torch.arange(30)]
        rows = [own[torch.randint(len(own), (min(n, len(own)),), generator=gen)] for own in pools]
        return self.gather(torch.cat(rows))


class ForeignDraw(TensorTask):
    def draw(self, n, gen, labels=None):
        batch = super().draw(n, gen, labels)
        return batch.with_inputs(batch.inputs + 1)


class FixedDraw(TensorTask):
    def draw(self, n, gen, labels=None):
        return super().draw(n, derive(0), labels)


class DroppedLast(TensorTask):
    def epoch(self, split, size, gen=None):
        batches = list(super().epoch(split, size, gen))
        yield from batches[:-1] or batches


class FixedOrder(TensorTask):
    def epoch(self, split, size, gen=None):
        return super().epoch(split, size, None)


class SortedGather(TensorTask):
    def gather(self, rows):
        return super().gather(rows.sort().values)


class FreeBytes(TensorTask):
    def raw_bytes(self, rows):
        return 0


class SubsetRenames(TensorTask):
    def subset(self, rows):
        return replace(super().subset(rows), classes=("a", "b", "c"))

    def partition(self, parts, gen):
        return [TensorTask.subset(self, rows) for rows in parts]


class WholeParts(TensorTask):
    def partition(self, parts, gen):
        return [self for _ in parts]


class ForgetsOptions(TensorTask):
    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "options", {"validation": 0.4})


class TuplesInPreprocessing(TensorTask):
    @property
    def preprocessing(self):
        return {**super().preprocessing, "pair": (1, 2)}


class Surplus(Linear):
    def forward(self, inputs):
        return torch.cat([super().forward(inputs)] * 2, 1)


class SecretlyCoupled(Linear):
    coupled = False

    def forward(self, inputs):
        return super().forward(inputs - inputs.mean(0))


class FixedBuild(TensorTask):
    def build(self, arch, gen):
        return super().build(arch, derive(0))


class GlobalBuild(TensorTask):
    def build(self, arch, gen):
        torch.rand(1)
        return super().build(arch, gen)


def with_architecture(model: type[nn.Module]) -> Quick:
    return Quick(change=lambda task: replace(task, architectures={**task.architectures, "odd": model}))


class Wrapped:
    """An augmentation that has a fault."""

    def __init__(self):
        self.inner = toy_augment()

    def __repr__(self):
        return "Wrapped()"

    def draw(self, k, gen):
        return self.inner.draw(k, gen)

    def apply(self, batch, params, which):
        return self.inner.apply(batch, params, which)


class SpoiledDraws(Wrapped):
    def apply(self, batch, params, which):
        changed = super().apply(batch, params, which)
        for numbers in params.numbers:
            numbers.add_(1)
        return changed


class FixedDraws(Wrapped):
    def draw(self, k, gen):
        return super().draw(k, derive(0))


class GlobalDraws(Wrapped):
    def draw(self, k, gen):
        torch.rand(1)
        return super().draw(k, gen)


class InPlace(Wrapped):
    def apply(self, batch, params, which):
        batch.inputs.detach().mul_(1.5)
        return super().apply(batch, params, which)


class NoGradient(Wrapped):
    def apply(self, batch, params, which):
        changed = super().apply(batch, params, which)
        return changed.with_inputs(changed.inputs.detach() + 0 * batch.inputs)


class KeepsNumbers(TensorTask):
    def shared(self, classes, preprocessing, *, leave_out=False):
        return replace(super().shared(self.classes, preprocessing), classes=tuple(classes))


class ViewsTrain(TensorTask):
    def view(self, rows, split="train"):
        return super().view(rows)


class OneDrawForAll(Wrapped):
    def apply(self, batch, params, which):
        return super().apply(batch, params, torch.zeros_like(which))


class Nameless(Wrapped):
    __repr__ = object.__repr__


WRONG = {
    "task_is_complete": Quick(change=lambda task: replace(task, classes=("a", "a", "b"))),
    "license_is_named": Quick(change=lambda task: replace(task, license="")),
    "labels_are_in_range": Quick(FarLabels),
    "counts_match_labels": Quick(ShortCounts),
    "batches_are_finite_floats": Quick(DoubleBatches),
    "draw_is_limited": Quick(GreedyDraw),
    "draw_does_not_repeat": Quick(RepeatingDraw),
    "draw_comes_from_train": Quick(ForeignDraw),
    "draw_follows_generator": Quick(FixedDraw),
    "epoch_covers_split_once": Quick(DroppedLast),
    "epoch_follows_generator": Quick(FixedOrder),
    "gather_gives_the_rows": Quick(SortedGather),
    "raw_bytes_add_up": Quick(FreeBytes),
    "subset_keeps_context": Quick(SubsetRenames),
    "partition_is_disjoint": Quick(WholeParts),
    "shared_keeps_the_samples": Quick(KeepsNumbers),
    "view_reaches_every_split": Quick(ViewsTrain),
    "preprocessing_is_json": Quick(TuplesInPreprocessing),
    "options_are_those_given": Quick(ForgetsOptions),
    "models_fit_the_task": with_architecture(Surplus),
    "build_follows_generator": Quick(FixedBuild),
    "build_leaves_global_rng": Quick(GlobalBuild),
    "coupled_is_honest": with_architecture(SecretlyCoupled),
    "augment_repeats_its_draw": Quick(augment=SpoiledDraws()),
    "augment_follows_generator": Quick(augment=FixedDraws()),
    "augment_leaves_global_rng": Quick(augment=GlobalDraws()),
    "augment_leaves_input_alone": Quick(augment=InPlace()),
    "augment_is_differentiable": Quick(augment=NoGradient()),
    "augment_follows_which": Quick(augment=OneDrawForAll()),
    "augment_names_its_settings": Quick(augment=Nameless()),
}


def test_every_law_has_a_wrong_modality():
    assert set(WRONG) == {law_name(law) for law in (*TASK_LAWS, *MODEL_LAWS, *AUGMENT_LAWS)}


@pytest.mark.parametrize("feature", [(4,), (2, 8), (1, 8, 8)])
def test_right_modality_keeps_every_law(broken, feature):
    assert broken(checks_for_modality(ToyModality(feature), "gauss", name="toy")) == {}


@pytest.mark.parametrize("mode", ["one", "all"])
def test_right_augmentation_keeps_every_law(broken, mode):
    augment = TensorAugment(toy_augment().operations, mode=mode)
    assert broken(checks_for_modality(Quick(augment=augment), "gauss", name="toy")) == {}


# What else such a fault cannot but break: the domain rebuilt from what the task says is another.
ALSO = {
    "preprocessing_is_json": {"domain_is_the_tasks", "shared_keeps_the_samples"},
    "task_is_complete": {"shared_keeps_the_samples"},
    "build_follows_generator": {"domain_is_the_tasks"},
    "batches_are_finite_floats": {"view_reaches_every_split"},
    "labels_are_in_range": {"view_reaches_every_split"},
}


@pytest.mark.parametrize("law", WRONG)
def test_wrong_modality_breaks_its_law_alone(broken, law):
    found = broken(checks_for_modality(WRONG[law], "gauss", name="toy"))
    assert set(found) - ALSO.get(law, set()) == {law}, found
    assert "it raised" not in found[law]
