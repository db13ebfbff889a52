"""What ``--precision auto`` becomes."""

from __future__ import annotations

import attar
import pytest
import torch
from attar import precision_choice
from attar.devices import has_bf16
from attar.objectives.dm import DMMethod
from attar.plugins import StandsBf16
from attar.precision_choice import decided, operations
from attar.recipe import Recipe, resolve, stored_recipe
from attar.registry import Registry
from attar.run_folder import RunSettings
from attar.testing import toy_task

IMAGE = (3, 16, 16)
LARGE = "convnet,depth=3,width=128"
# Those of the table in docs/speed.md; one-step is dsa with one stay.
SHOWN = {
    *("cafe", "datadam", "datm", "dc", "dd", "dm", "dsa", "frepo", "idc", "idm", "m3d", "mtt"),
    *("ncfm", "one-step", "rat-bptt", "rfad", "rtp", "sre2l", "tesla"),
}


@pytest.fixture
def able(monkeypatch):
    """Say of the processor whether it computes in bfloat16."""

    def say(flag):
        monkeypatch.setattr(precision_choice, "has_bf16", lambda device: flag)

    say(True)
    return say


@pytest.fixture
def task(blobs):
    return blobs(counts=(6, 6), feature=IMAGE)


def recipe(task, method="dm", precision="auto", **objective):
    data = {"modality": task.modality, "name": task.name}
    run = {"precision": precision}
    found = {"data": data, "size": {"ipc": 1}, "method": method, "objective": objective, "run": run}
    return resolve(Recipe.model_validate(found), Registry())


@pytest.fixture
def chosen(task):
    def choose(method="dm", precision="auto", **objective):
        how = RunSettings(device=torch.device("cpu"))
        return decided(task, recipe(task, method, precision, **objective), how).recipe.run.precision

    return choose


def test_a_product_is_two_operations_for_each_weight():
    assert operations(toy_task((4,), n=4), "linear") == 2 * 4 * 3


def test_a_convolution_counts_in_full_where_a_shorter_way_is_there():
    found = operations(toy_task((3, 16, 16), n=4), "convnet,depth=2,width=64,pool=none")
    convolutions = 2 * 9 * (3 + 64) * 64 * 16**2
    assert found == convolutions + 2 * 64 * 16**2 * 3


def test_a_large_network_of_a_method_that_stands_it_computes_in_bfloat16(able, chosen):
    assert chosen(model=LARGE) == "bf16"


def test_a_method_that_was_not_seen_to_stand_it_does_not(able, chosen, monkeypatch):
    monkeypatch.setattr(DMMethod, "stands_bf16", False)
    assert chosen("dm", model=LARGE) == "fp32"


def test_a_selector_has_nothing_that_could_run_in_it(able, chosen):
    assert chosen("random") == "fp32"


def test_a_small_network_gains_nothing(able, chosen):
    assert chosen(model="convnet,depth=3,width=16") == "fp32"


def test_other_processors_do_not(able, chosen):
    able(False)
    assert chosen(model=LARGE) == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_was_asked_for_stays(able, chosen, precision):
    assert chosen(precision=precision, model=LARGE) == precision


def test_methods_that_stand_it_are_those_that_were_measured():
    registry = Registry()
    methods = {name: registry.get("objectives", name) for name in registry.names("objectives")}
    assert {
        name for name, each in methods.items() if isinstance(each, StandsBf16) and each.stands_bf16
    } == SHOWN


def test_a_run_writes_down_what_was_chosen_and_keeps_it(able, task, tmp_path):
    out = tmp_path / "run"
    given = {"ipc": 1, "method": "dm", "precision": "auto", "model": LARGE, "per_class": 2, "out": out}

    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attar.distill(task, steps=2, callbacks=[stop], **given)
    assert stored_recipe(out / "recipe.toml").run.precision == "bf16"
    # As on a machine that would choose otherwise.
    able(False)
    artifact = attar.distill(task, steps=2, resume=True, **given)
    assert artifact.manifest.environment.precision == "bf16"


@pytest.mark.parametrize(
    ("flags", "found"),
    [("fpu avx512_bf16", True), ("amx_bf16", True), ("avx512f amx_int8", False), ("", False)],
)
def test_linux_tells_what_processors_can(monkeypatch, flags, found):
    monkeypatch.setattr("attar.devices.processor_lines", lambda: {"flags": flags})
    assert has_bf16(torch.device("cpu")) is found


@pytest.mark.parametrize(("capability", "found"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_of_nvidia_from_ampere_can(monkeypatch, capability, found):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert has_bf16(torch.device("cuda")) is found


def test_apple_s_gpus_are_not_asked():
    assert not has_bf16(torch.device("mps"))
