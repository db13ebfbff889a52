from __future__ import annotations

import json

import attar
import pytest
import torch
from attar.errors import UsageError
from attar.registry import Registry
from attar.sizing import initial_batch
from attar.unions import UnionSet, restore

QUICK = {"ipc": 1, "steps": 2, "per_class": 4}


def made(task, **changes):
    return attar.distill(task, **{"method": "dm", **QUICK, **changes})


def test_a_union_has_the_samples_of_all(blobs):
    task = blobs()
    one, other = made(task), made(task, seed=1, ipc=2)
    both = attar.union([one, other])
    torch.testing.assert_close(both.decode().inputs, torch.cat([one.decode().inputs, other.decode().inputs]))
    assert both.decode().labels.tolist() == [*one.decode().labels.tolist(), *other.decode().labels.tolist()]
    assert both.manifest.size.bytes == one.manifest.size.bytes + other.manifest.size.bytes
    assert both.manifest.data == one.manifest.data
    assert both.manifest.method.name == "dm"
    assert both.manifest.cost.cpu == pytest.approx(one.manifest.cost.cpu + other.manifest.cost.cpu)


def test_each_part_keeps_its_parameterization(blobs, tmp_path):
    task = blobs()
    parts = [made(task), made(task, method="rtp", parameterization={"decodes": 2, "count": 2}, inner=2)]
    attar.union(parts).save(tmp_path / "both")
    again = attar.load(tmp_path / "both")
    expected = torch.cat([part.decode().inputs for part in parts])
    assert again.decode().inputs.equal(expected)
    assert (again.manifest.size.stored, again.manifest.size.decoded) == (6, 9)
    assert (tmp_path / "both" / "README.md").read_text()


def test_learned_labels_stay_with_their_samples(blobs):
    task = blobs()
    parts = [made(task, method="frepo", seed=seed) for seed in (0, 1)]
    both = attar.union(parts)
    assert both.syn.label_kind == "regression"
    torch.testing.assert_close(both.decode().targets, torch.cat([part.decode().targets for part in parts]))


def test_parts_of_the_data_become_one_record(blobs):
    task = blobs()
    rows = torch.arange(len(task.labels))
    clients = task.partition([rows[::2], rows[1::2]], torch.Generator())
    both = attar.union([made(client, init="random") for client in clients])
    assert both.manifest.data.counts == tuple(task.counts.tolist())
    assert both.manifest.data.fingerprint not in {client.fingerprint for client in clients}
    report = attar.evaluate(
        both, task, baselines=(), protocol=attar.protocol("cpu-1", {"epochs": 2, "networks": 1})
    )
    assert report.samples == 6


def test_a_union_of_unions_is_one_of_their_parts(blobs):
    task = blobs()
    three = [made(task, seed=seed) for seed in range(3)]
    nested = attar.union([attar.union(three[:2]), three[2]])
    assert nested.manifest.set == attar.union(three).manifest.set
    assert nested.decode().inputs.equal(attar.union(three).decode().inputs)


def test_graphs_stand_side_by_side():
    task = attar.task("graph", data="karate")
    parts = [attar.distill(task, method="gcond-x", ipc=1, steps=2, seed=seed) for seed in (0, 1)]
    both = attar.union(parts)
    batch = both.decode()
    assert len(batch) == sum(len(part.decode()) for part in parts)
    assert len(batch.inputs.index) == len(batch)
    report = attar.evaluate(
        both, task, baselines=(), protocol=attar.protocol("", {"epochs": 2, "networks": 1}, task.protocols)
    )
    assert report.accuracy.n == 1


def test_roles_are_those_of_all_parts(blobs):
    task = blobs()
    batch = initial_batch(task, "real", [1, 1, 1], 0, Registry())
    parts = [task.synthesize(batch, attar_spec(), torch.Generator()) for _ in range(2)]
    assert len(UnionSet(parts).groups()["values"]) == 2


def attar_spec():
    from attar.contracts import SetSpec

    return SetSpec()


def test_what_does_not_fit_is_refused(blobs):
    task = blobs()
    with pytest.raises(UsageError, match="labels of kinds hard and regression cannot be one"):
        attar.union([made(task), made(task, method="frepo")])
    with pytest.raises(UsageError, match="their feature differ"):
        attar.union([made(task), made(blobs(feature=(6,)))])
    with pytest.raises(UsageError, match="at least one set"):
        attar.union([])


@pytest.mark.parametrize("name", ["2.labels", "x.labels", "labels", "-1.labels", "\u0661.labels"])
def test_a_tensor_of_no_part_is_refused(blobs, name):
    both = attar.union([made(blobs()), made(blobs(), seed=1)])
    modality = Registry().get("modalities", "tensor")
    tensors = {**both.syn.stored(), name: torch.zeros(1)}
    with pytest.raises(UsageError, match="belongs to none of the 2 sets"):
        restore(modality, both.manifest.set, tensors)


def test_a_manifest_without_parts_is_refused(blobs, tmp_path):
    attar.union([made(blobs())]).save(tmp_path / "one")
    path = tmp_path / "one" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["set"] = {"union": []}
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="union"):
        attar.load(tmp_path / "one")
