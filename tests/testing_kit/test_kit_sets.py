"""Each law of a modality as a plugin, of its sets and of the test split has one that breaks it alone."""

import hashlib
from functools import partial
from typing import Any

import pytest
import torch
from attar.plugins import Exhibit
from attar.protocols import CPU_1, PUBLISHED, Protocol
from attar.tensor import TensorSet, TensorTask
from attar.tensor.export import Npz
from attar.tensor.splits import SplitOptions
from attar.testing import ToyModality, checks_for_modality
from attar.testing.laws import law_name
from attar.testing.plugin_laws import PLUGIN_LAWS, SECRECY_LAWS
from attar.testing.set_laws import SET_LAWS
from attar.testing.shared import SETTINGS_LAWS
from pydantic import ConfigDict
from torch import nn


class Quick(ToyModality):
    def __init__(self, kind: type[TensorTask] = TensorTask, **given: Any):
        super().__init__(kind=kind)
        vars(self).update(given)

    def render(self, batch, info):
        # Drawing is what takes the kit's time; one law looks at it.
        return b"\x89PNG\r\n\x1a\n....IEND"

    def exports(self):
        # Parquet needs a library that is slow to import.
        return {"npz": super().exports()["npz"]}


class PairOptions(SplitOptions):
    pair: Any = (1, 2)


class ThawedOptions(SplitOptions):
    model_config = ConfigDict(frozen=False)


class LaxOptions(SplitOptions):
    model_config = ConfigDict(extra="ignore")


KEPT = []


class NewPrints(TensorTask):
    def __post_init__(self):
        super().__post_init__()
        # The identity of an object that is gone comes again, so none of them may go.
        KEPT.append(self.train)

    fingerprint = property(lambda self: f"{id(self.train):x}")


class TrainPrints(TensorTask):
    fingerprint = property(lambda self: self.train.fingerprint())


class TestPrints(TensorTask):
    __test__ = False

    @property
    def fingerprint(self):
        both = super().fingerprint + self.test.fingerprint()
        return hashlib.blake2b(both.encode()).hexdigest()


def with_set(kind: type[TensorSet]) -> type[TensorTask]:
    """Returns a task whose sets are of a class that has a fault."""

    class OddTask(TensorTask):
        def synthesize(self, init, spec, gen):
            syn = super().synthesize(init, spec, gen)
            syn.__class__ = kind
            syn.started(init)
            return syn

    return OddTask


class OddSet(TensorSet):
    def started(self, init):
        pass


class WholeDecode(OddSet):
    def decode(self, rows=None):
        return super().decode()


class OtherRole(OddSet):
    def groups(self):
        return {"soft" if role == "labels" else role: group for role, group in super().groups().items()}


class IdleParameter(OddSet):
    def started(self, init):
        self.idle = nn.Parameter(torch.zeros(1))


class DeafParameter(IdleParameter):
    def groups(self):
        groups = super().groups()
        return {**groups, "values": [*groups["values"], self.idle]}


class SharedStart(OddSet):
    def started(self, init):
        self.values.values.data = init.inputs


class GradientInStorage(OddSet):
    def stored(self):
        return {
            name: tensor.requires_grad_() if tensor.is_floating_point() else tensor
            for name, tensor in super().stored().items()
        }


class KeepsInOrder(OddSet):
    def keep(self, rows):
        return super().keep(rows.sort().values)


class SoftensEvenly(OddSet):
    def softened(self, probabilities):
        return super().softened(torch.full_like(probabilities, 1 / probabilities.shape[1]))


class OneByteMore(OddSet):
    def nbytes(self):
        return super().nbytes() + 1


class TuplesInDescription(OddSet):
    def description(self):
        return {**super().description(), "odd": (1, 2)}


class FirstBatchTwice(OddSet):
    def epoch(self, size, gen=None):
        batches = list(super().epoch(size, gen))
        return iter([batches[0], *batches])


class AddsOne(Quick):
    def restore(self, description, tensors):
        syn = super().restore(description, tensors)
        with torch.no_grad():
            syn.values.values.add_(1)
        return syn


class SkipsOdd(Quick):
    def restore(self, description, tensors):
        return super().restore({key: description[key] for key in description if key != "odd"}, tensors)


class CountsTest(TensorTask):
    def synthesize(self, init, spec, gen):
        return super().synthesize(init.with_inputs(init.inputs + 0.01 * self.size("test")), spec, gen)


class ReadsTest(TensorTask):
    def synthesize(self, init, spec, gen):
        self.test.read(torch.arange(1))
        return super().synthesize(init, spec, gen)


class OtherDomain(Quick):
    def suited(self, feature):
        return "mlp,width=7,depth=1"


class WritesNothing(Npz):
    def write(self, batch, info, dtype, folder):
        pass


class EmptyFiles(Npz):
    def write(self, batch, info, dtype, folder):
        (folder / "data.npz").touch()


class Drifts(Npz):
    def rounded(self, batch, info, dtype):
        rounded = super().rounded(batch, info, dtype)
        return rounded.with_inputs(rounded.inputs + (dtype == "float16"))


class Halves(Npz):
    def values(self, batch, info, dtype):
        return super().values(batch, info, "float16").to(torch.float32)


class CutsTooMuch(Npz):
    def clipped(self, batch, info, dtype):
        return 100.0


def exporting(kind: type[Npz], **given: Any) -> Quick:
    export = kind(**{"summary": "arrays", "dtypes": ("float32", "float16"), **given})
    return Quick(exports=lambda: {"npz": export})


WRONG = {
    "exports_write_files": exporting(WritesNothing),
    "exports_say_what_rounding_changes": exporting(Drifts),
    "domain_is_the_tasks": OtherDomain(),
    "plugin_is_complete": Quick(summary=""),
    "settings_have_defaults": Quick(Options=PairOptions),
    "settings_are_frozen": Quick(Options=ThawedOptions),
    "settings_refuse_unknown_keys": Quick(Options=LaxOptions),
    "known_data_are_described": Quick(datasets=lambda: {"gauss": ""}),
    "fingerprint_is_stable": Quick(NewPrints),
    "fingerprint_sees_validation": Quick(TrainPrints),
    "render_gives_png": Quick(render=lambda batch, info: b"GIF89a"),
    "companions_are_files": Quick(companions=lambda batch, info: [("../a.wav", b"RIFF")]),
    "exhibits_show_each_sample": Quick(exhibits=lambda batch, info: [Exhibit(sound=b"RIFF")] * len(batch)),
    "words_tell_each_sample": Quick(described=lambda batch, info: ["all of them"]),
    "set_decodes_to_its_labels": Quick(with_set(WholeDecode)),
    "targets_fit_label_kind": Quick(with_set(OtherRole)),
    "roles_cover_parameters": Quick(with_set(IdleParameter)),
    "gradient_reaches_every_leaf": Quick(with_set(DeafParameter)),
    "synthesize_leaves_its_start_alone": Quick(with_set(SharedStart)),
    "set_survives_storage": AddsOne(),
    "kept_samples_are_those": Quick(with_set(KeepsInOrder)),
    "softened_labels_are_those": Quick(with_set(SoftensEvenly)),
    "stored_tensors_are_plain": Quick(with_set(GradientInStorage)),
    "bytes_are_honest": Quick(with_set(OneByteMore)),
    "description_is_json": SkipsOdd(with_set(TuplesInDescription)),
    "set_epoch_covers_it_once": Quick(with_set(FirstBatchTwice)),
    "fingerprint_ignores_test": Quick(TestPrints),
    "artifact_ignores_test": Quick(CountsTest),
    "distilling_reads_no_test": Quick(ReadsTest),
}


def test_every_law_has_a_wrong_modality():
    laws = {law_name(law) for law in (*SETTINGS_LAWS, *PLUGIN_LAWS, *SET_LAWS, *SECRECY_LAWS)}
    assert set(WRONG) == laws | {"plugin_is_complete"}


@pytest.mark.parametrize("law", WRONG)
def test_wrong_modality_breaks_its_law_alone(broken, law):
    found = broken(checks_for_modality(WRONG[law], "gauss", name="toy"))
    assert list(found) == [law], found
    assert "it raised" not in found[law]


def with_protocols(**known: Protocol) -> Quick:
    return Quick(partial(TensorTask, protocols=known))


@pytest.mark.parametrize(
    ("modality", "said"),
    [
        (with_protocols(), "its task has no protocol that networks are trained by"),
        (with_protocols(quick=CPU_1), "its protocol 'quick' calls itself 'cpu-1'"),
        (
            with_protocols(published=PUBLISHED),
            "its domain has the protocols cpu-1, published, its task published",
        ),
    ],
)
def test_protocols_are_those_of_the_domain(broken, modality, said):
    assert said in broken(checks_for_modality(modality, "gauss", name="toy"))["domain_is_the_tasks"]


@pytest.mark.parametrize(
    ("modality", "said"),
    [
        (exporting(EmptyFiles), "its export 'npz' writes no file of float32"),
        (exporting(Npz, summary=""), "its export 'npz' has no line about it"),
        (
            exporting(Npz, dtypes=("bfloat16",)),
            "writes ['bfloat16'], which is none of uint8, int16, float16, float32",
        ),
        (exporting(Halves), "its export 'npz' as float32 changes the values"),
        (exporting(CutsTooMuch), "says that 100.0 of the values are cut off"),
    ],
)
def test_wrong_exports_are_named(broken, modality, said):
    found = broken(checks_for_modality(modality, "gauss", name="toy"))
    assert said in " ".join(found.values())
    assert set(found) <= {"exports_write_files", "exports_say_what_rounding_changes"}
