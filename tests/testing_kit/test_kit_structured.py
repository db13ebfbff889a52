"""The kit takes tasks that are no ``TensorTask``, with inputs that are no plain tensors."""

from dataclasses import dataclass, replace

import pytest
import torch
from attar.contracts import SyntheticSet
from attar.tensor import TensorTask
from attar.testing import ModalityData, ToyModality, checks_for_modality, toy_task
from attar.testing.compare import plain_row_keys
from torch import Tensor, nn


@dataclass(frozen=True)
class Boxed:
    """Inputs that say themselves how rows are taken from them."""

    values: Tensor

    def take(self, rows):
        return Boxed(self.values[rows])

    def map(self, function):
        return Boxed(function(self.values))

    def cat(self, others):
        return Boxed(torch.cat([self.values, *(other.values for other in others)]))

    def to(self, device):
        return Boxed(self.values.to(device))


def boxed(batch):
    return batch.with_inputs(Boxed(batch.inputs))


def unboxed(batch):
    return batch.with_inputs(batch.inputs.values)


class BoxModel(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.coupled = inner, inner.coupled
        if hasattr(inner, "kernel"):
            self.kernel = lambda one, other: inner.kernel(one.values, other.values)

    def forward(self, inputs):
        return self.inner(inputs.values)

    def embed(self, inputs):
        return self.inner.embed(inputs.values)


class BoxSet(SyntheticSet):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.label_kind = inner, inner.label_kind

    labels = property(lambda self: self.inner.labels)

    def decode(self, rows=None):
        return boxed(self.inner.decode(rows))

    def groups(self):
        return self.inner.groups()

    def stored(self):
        return self.inner.stored()

    def description(self):
        return self.inner.description()


class BoxTask:
    augment = None
    averages = False

    def __init__(self, inner: TensorTask):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def draw(self, n, gen, labels=None):
        return boxed(self.inner.draw(n, gen, labels))

    def epoch(self, split, size, gen=None):
        return map(boxed, self.inner.epoch(split, size, gen))

    def gather(self, rows):
        return boxed(self.inner.gather(rows))

    def view(self, rows, split="train"):
        return boxed(self.inner.view(rows, split))

    def subset(self, rows):
        return BoxTask(self.inner.subset(rows))

    def partition(self, parts, gen):
        return [BoxTask(part) for part in self.inner.partition(parts, gen)]

    def build(self, arch, gen):
        return BoxModel(self.inner.build(arch, gen))

    def synthesize(self, init, spec, gen):
        return BoxSet(self.inner.synthesize(unboxed(init), spec, gen))


class BoxDomain:
    augment = None

    def __init__(self, inner):
        self.inner = inner
        self.architecture, self.architectures = inner.architecture, inner.architectures
        self.protocols = inner.protocols

    def preprocess(self, raw):
        return Boxed(self.inner.preprocess(raw))

    def build(self, arch, gen):
        return BoxModel(self.inner.build(arch, gen))


class BoxExport:
    def __init__(self, inner):
        self.inner, self.summary, self.dtypes = inner, inner.summary, inner.dtypes

    def reading(self, info, dtype):
        return self.inner.reading(info, dtype)

    def rounded(self, batch, info, dtype):
        return boxed(self.inner.rounded(unboxed(batch), info, dtype))

    def clipped(self, batch, info, dtype):
        return self.inner.clipped(unboxed(batch), info, dtype)

    def write(self, batch, info, dtype, folder):
        self.inner.write(unboxed(batch), info, dtype, folder)


class BoxModality(ToyModality):
    def exports(self):
        return {"npz": BoxExport(super().exports()["npz"])}

    def domain(self, info):
        return BoxDomain(super().domain(info))

    def load(self, request):
        return BoxTask(super().load(request))

    def restore(self, description, tensors):
        return BoxSet(super().restore(description, tensors))

    def render(self, batch, info):
        return b"\x89PNG\r\n\x1a\n....IEND"


def other_test(task: BoxTask) -> BoxTask:
    return BoxTask(replace(task.inner, test=toy_task((4,), seed=5).test))


WHOLE = ModalityData(
    data="gauss", without_test=other_test, row_keys=lambda batch: plain_row_keys(unboxed(batch))
)


def test_structured_modality_keeps_every_law(broken):
    assert broken(checks_for_modality(BoxModality(), WHOLE, name="toy")) == {}


def test_rows_of_structured_inputs_need_keys(broken):
    given = replace(WHOLE, row_keys=plain_row_keys)
    found = broken(checks_for_modality(BoxModality(), given, name="toy"))
    assert "give row_keys, which tells their rows apart" in found["draw_does_not_repeat"]


def test_other_tasks_need_another_test_split(broken):
    found = broken(checks_for_modality(BoxModality(), replace(WHOLE, without_test=None), name="toy"))
    assert set(found) == {"fingerprint_ignores_test", "artifact_ignores_test"}
    assert "give without_test" in found["artifact_ignores_test"]


def test_core_that_reads_the_test_split_is_found(broken, monkeypatch):
    from attar.testing import plugin_laws

    honest = plugin_laws.distill

    def peeking(task, **given):
        next(iter(task.epoch("test", 4)))
        return honest(task, **given)

    monkeypatch.setattr(plugin_laws, "distill", peeking)
    found = broken(checks_for_modality(BoxModality(), WHOLE, name="toy"))
    assert list(found) == ["distilling_reads_no_test"]
    assert "the test samples were read" in found["distilling_reads_no_test"]


@pytest.mark.parametrize("given", ["gauss", ModalityData(data="gauss", options={"validation": 0.0})])
def test_data_are_named_or_described(broken, given):
    assert broken(checks_for_modality(ToyModality(), given, name="toy")) == {}
