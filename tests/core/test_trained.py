"""Networks trained on a set, without the real data."""

import json

import attar
import pytest
import torch
from attar.architectures import build
from attar.errors import DivergenceError, PluginError, UsageError
from attar.nets import MLP
from attar.protocols import CPU_1, changed
from attar.trained import load_model, train
from safetensors import safe_open
from safetensors.torch import save_file

QUICK = changed(CPU_1, {"epochs": 30, "networks": 1})


@pytest.fixture(scope="module")
def task():
    return attar.task("tensor", data="wine")


@pytest.fixture(scope="module")
def artifact(task):
    return attar.distill(task, method="random", ipc=5)


@pytest.fixture(scope="module")
def trained(artifact):
    return train(artifact, protocol=QUICK)


def test_network_is_the_one_that_an_evaluation_trains(artifact, task, trained, tmp_path):
    inputs, labels = next(
        (task.preprocess.decode(batch.inputs), batch.labels) for batch in task.epoch("test", 1000)
    )
    mine = 100 * float((trained.predict(inputs).argmax(1) == labels).float().mean())
    report = attar.evaluate(artifact, task, protocol=QUICK, baselines=(), workers=1, cache=tmp_path)
    assert mine == pytest.approx(report.accuracy.mean, abs=1e-3)
    assert mine > 80


def test_same_seed_same_weights_other_seed_other_weights(artifact, trained):
    same, other = train(artifact, protocol=QUICK), train(artifact, protocol=QUICK, seed=1)
    for name, value in trained.model.state_dict().items():
        assert torch.equal(same.model.state_dict()[name], value)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(trained.model.parameters(), other.model.parameters(), strict=True)
    )


def test_file_gives_the_same_answers(artifact, trained, tmp_path):
    path = trained.save(tmp_path / "model.safetensors")
    again = load_model(path)
    inputs = torch.randn(7, 13) * 100
    assert torch.equal(again.predict(inputs), trained.predict(inputs))
    assert again.record == trained.record
    assert again.classes == ("class_0", "class_1", "class_2")
    assert not again.model.training
    assert again.record.set == artifact.manifest.sha256


def test_probabilities_sum_to_one_and_single_inputs_are_taken(trained):
    answers = trained.predict(torch.randn(13))
    assert answers.shape == (1, 3)
    assert answers.sum().item() == pytest.approx(1)
    assert trained.predict(torch.empty(0, 13)).shape == (0, 3)


def test_stored_protocol_is_the_default(task):
    artifact = attar.distill(task, method="random", ipc=1)
    assert train(artifact).record.protocol == artifact.manifest.protocol


def wide(feature, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(13, classes))


def test_own_factory_is_trained_and_must_be_named_again(artifact, tmp_path):
    own = train(artifact, wide, protocol=QUICK)
    assert own.record.architecture == f"{__name__}:wide"
    path = own.save(tmp_path / "own.safetensors")
    with pytest.raises(UsageError, match="is code and no registered architecture"):
        load_model(path)
    inputs = torch.randn(3, 13)
    assert torch.equal(load_model(path, wide).predict(inputs), own.predict(inputs))


def test_no_file_makes_code_run(artifact, trained, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')\n")
    monkeypatch.chdir(tmp_path)
    path = trained.save(tmp_path / "model.safetensors")
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["attar"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    record["architecture"] = "evil:make"
    save_file(tensors, path, {"attar": json.dumps(record)})
    with pytest.raises(UsageError, match="if you trust that code, name it yourself"):
        load_model(path)


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Linear(13, 3)
        self.other = self.one

    def forward(self, inputs):
        return self.one(inputs) + self.other(inputs)


def tied(feature, classes):
    return Tied()


def test_tied_weights_are_written(artifact, tmp_path):
    own = train(artifact, tied, protocol=QUICK)
    again = load_model(own.save(tmp_path / "tied.safetensors"), tied)
    assert torch.equal(again.predict(torch.ones(2, 13)), own.predict(torch.ones(2, 13)))


def test_divergence_is_told(artifact):
    with pytest.raises(DivergenceError, match=r"lower the step size protocol\.optimizer\.lr \(now: 1e\+09\)"):
        train(artifact, protocol=changed(QUICK, {"optimizer.lr": 1e9, "optimizer.momentum": 0.9}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "nonsense"}, "unknown architecture 'nonsense'"),
        ({"model": "mlp,wdth=3"}, "wdth"),
        ({"protocol": "cpu-9"}, "unknown protocol 'cpu-9'"),
        ({"protocol": changed(CPU_1, {"select": "validation"})}, "held-out real data, which are not at hand"),
        ({"device": "cuda:99"}, "cannot be used here"),
    ],
)
def test_mistakes(artifact, given, message):
    with pytest.raises(UsageError, match=message):
        train(artifact, **given)


def test_inputs_of_another_shape_are_refused(trained):
    with pytest.raises(UsageError, match=r"has shape \(2, 5\); give one sample of shape \(13,\)"):
        trained.predict(torch.ones(2, 5))
    with pytest.raises(UsageError, match="no array of numbers"):
        trained.predict("picture.png")


def _spoiled(kind, trained, path):
    trained.save(path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif kind == "bare":
        save_file({"weight": torch.ones(2)}, path)
    elif kind == "garbled":
        save_file({"weight": torch.ones(2)}, path, {"attar": "{"})
    elif kind == "foreign":
        record = trained.record.model_dump(mode="json")
        save_file({"weight": torch.ones(2)}, path, {"attar": json.dumps(record)})
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "is damaged"),
        ("bare", "does not say what network it holds"),
        ("garbled", "is damaged"),
        ("foreign", "do not fit the model 'mlp'"),
        ("gone", "there is no file"),
    ],
)
def test_spoiled_files_are_refused(kind, message, trained, tmp_path):
    path = tmp_path / "model.safetensors"
    _spoiled(kind, trained, path)
    with pytest.raises(UsageError, match=message):
        load_model(path)


def test_artifact_prepares_new_inputs_as_its_task_does(artifact, task):
    raw = task.train.read(torch.arange(4))
    assert torch.equal(artifact.preprocess(raw), task.gather(torch.arange(4)).inputs)
    assert artifact.preprocess(raw[0]).shape == (1, 13)


def test_domain_of_an_older_artifact_takes_the_shape_from_the_set(artifact):
    data = artifact.manifest.data.model_copy(update={"feature": ()})
    from dataclasses import replace

    older = replace(artifact, manifest=artifact.manifest.model_copy(update={"data": data}))
    assert older.info.feature == artifact.info.feature == (13,)


def test_set_shows_itself_in_a_notebook(artifact):
    html = artifact._repr_html_()
    assert "wine" in html
    assert "data:image/png;base64," in html


def test_unknown_modality_is_refused(trained, tmp_path):
    record = trained.record.model_dump(mode="json")
    record["data"]["modality"] = "smell"
    save_file({"weight": torch.ones(2)}, tmp_path / "m.safetensors", {"attar": json.dumps(record)})
    with pytest.raises(PluginError, match="unknown modality 'smell'"):
        load_model(tmp_path / "m.safetensors")


def test_domain_builds_what_architectures_build(artifact):
    gen = torch.Generator().manual_seed(3)
    model = artifact.domain().build("mlp,width=8", gen)
    other = build("mlp,width=8", {"mlp": MLP}, (13,), 3, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
