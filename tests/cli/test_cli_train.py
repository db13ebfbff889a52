"""``attar train`` from the outside."""

import attar
import pytest
from attar.cli.use import TrainResult

FEW = ("--set", "protocol.epochs=3", "--device", "cpu")


def test_train_speaks_json(cli, finished, tmp_path):
    result = cli("train", finished, "--out", "model.safetensors", *FEW, "--json")
    made = TrainResult.model_validate(result.json)
    assert (made.architecture, made.protocol, made.epochs) == ("mlp,width=4", "cpu-1*", 3)
    assert made.bytes == (tmp_path / "model.safetensors").stat().st_size
    trained = attar.load_model(tmp_path / "model.safetensors")
    assert made.parameters == sum(each.numel() for each in trained.model.parameters())
    assert trained.predict([5.1, 3.5, 1.4, 0.2]).shape == (1, 3)


def test_train_speaks_to_people(cli, finished):
    result = cli("train", finished, "--out", "model.safetensors", "--model", "linear", *FEW)
    assert (result.code, result.err) == (0, "")
    for word in ("linear, 15 weights", "cpu-1*: 3 epochs", "model.safetensors"):
        assert word in result.out


def test_same_seed_same_file(cli, finished, tmp_path):
    for name in ("one", "other"):
        cli("train", finished, "--out", f"{name}.safetensors", "--seed", 4, *FEW)
    one, other = (
        attar.load_model(tmp_path / f"{name}.safetensors").predict([5.1, 3.5, 1.4, 0.2])
        for name in ("one", "other")
    )
    assert one.equal(other)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--out", "model.pt"), "'model.pt' is no name of a network; end it with .safetensors"),
        (("--model", "nonsense"), "unknown architecture 'nonsense'"),
        (("--protocol", "cpu-9"), "unknown protocol 'cpu-9'"),
        (("--set", "objective.lr=1"), "unknown setting 'objective.lr'"),
        (("--set", "protocol.epoch=1"), "unknown setting 'protocol.epoch'"),
    ],
)
def test_mistakes(cli, finished, more, message):
    result = cli("train", finished, "--out", "model.safetensors", *more)
    assert result.code == 2
    assert message in result.err


def test_a_network_is_replaced_only_when_asked(cli, finished):
    for more, code in ((), 0), ((), 2), (("--force",), 0):
        result = cli("train", finished, "--out", "model.safetensors", *FEW, *more)
        assert result.code == code
        if code:
            assert "exists; choose another --out, or replace it with --force" in result.err


def test_out_must_be_named(cli, finished):
    result = cli("train", finished)
    assert result.code == 2
    assert "--out" in result.err
