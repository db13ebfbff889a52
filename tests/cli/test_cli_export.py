"""``attar export`` and ``attar push`` from the outside."""

import json
import shutil

import attar
import huggingface_hub
import numpy as np
import pytest
from attar import hub
from attar.cli.export import ExportResult
from attar.hub import REMINDER, PushRecord

QUICK = ("--workers", 1, "--set", "protocol.epochs=2", "--set", "protocol.networks=2")


def test_export_speaks_json(cli, finished, tmp_path):
    result = ExportResult.model_validate(cli("export", finished, "--format", "npz", "--json").json)
    folder = tmp_path / "finished-npz"
    assert result.folder == str(folder)
    assert (result.format, result.dtype, result.samples, result.files) == ("npz", "float32", 3, 3)
    assert (result.clipped, result.accuracy) == (0.0, None)
    with np.load(folder / "data.npz", allow_pickle=False) as arrays:
        assert arrays["inputs"].shape == (3, 4)


def test_export_speaks_to_people(cli, finished):
    result = cli("export", finished, "--format", "npz", "--dtype", "uint8", "--out", "there")
    assert (result.code, result.err) == (0, "")
    said = " ".join(result.out.split())
    for word in (
        "folder there",
        "npz, values as uint8",
        "3 samples in 3 files",
        "rounding changes values by",
    ):
        assert word in said
    assert "measure what that costs with --accuracy" in said


def test_what_is_cut_off_is_told(cli, chosen, npz):
    data = npz(x_train=np.linspace(-900, 900, 120, dtype=np.float32).reshape(30, 4))
    assert chosen(data).code == 0
    said = " ".join(cli("export", "run", "--format", "npz", "--dtype", "uint8").out.split())
    assert "% of the values lie outside of what uint8 holds" in said


def test_the_loss_of_accuracy_is_told(cli, finished):
    more = ("--format", "npz", "--dtype", "uint8", "--accuracy", *QUICK)
    result = cli("export", finished, *more, "--quiet")
    assert (result.code, result.err) == (0, "")
    assert "% as exported:" in " ".join(result.out.split())
    found = ExportResult.model_validate(cli("export", finished, *more, "--force", "--json").json).accuracy
    assert found.stored.n == found.exported.n == 2
    assert found.change == pytest.approx(found.exported.mean - found.stored.mean, abs=1e-3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--format", "npy"), "unknown format 'npy': did you mean 'npz'? choose from npz, parquet"),
        (("--format", "png"), "unknown format 'png'"),
        (("--format", "npz", "--dtype", "float8"), "the format 'npz' cannot hold 'float8'"),
        (("--format", "npz", "--data", "iris"), "the real data are used with --accuracy or --test"),
        (("--format", "npz", "--model", "mlp"), "say how accuracy is measured; add --accuracy"),
        (("--format", "npz", "--test"), "the format 'npz' has no test split; choose the format parquet"),
        (("--format", "parquet", "--test", "--data", "wine"), "the set was made of 'iris'"),
        (("--format", "npz", "--set", "objective.lr=1"), "unknown setting 'objective.lr'"),
        (("--format", "npz", "--accuracy", "--data", "nowhere"), "unknown data 'nowhere'"),
        (("--format", "npz", "--accuracy", "--protocol", "cpu-9"), "unknown protocol 'cpu-9'"),
    ],
)
def test_mistakes_leave_nothing(cli, finished, tmp_path, more, message):
    before = sorted(tmp_path.iterdir())
    assert message in cli("export", finished, *more).refusal
    assert sorted(tmp_path.iterdir()) == before


def test_the_real_test_samples_are_written_beside_the_set(cli, finished, tmp_path):
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    more = ("--dtype", "float32", "--test", "--out", "there")
    found = cli("export", finished, "--format", "parquet", *more, "--json").json
    assert (found["samples"], found["files"]) == (3, 4)
    kept = datasets.Dataset.from_parquet(
        str(tmp_path / "there" / "test.parquet"), cache_dir=str(tmp_path / "hf")
    )
    task = attar.task("tensor", data="iris")
    real = next(iter(task.epoch("test", 1000)))
    values = task.preprocess.decode(real.inputs)
    assert np.allclose(np.array(kept["inputs"]), values.numpy(), atol=1e-5)
    assert kept["label"] == real.labels.tolist()


def test_an_export_is_replaced_only_when_asked(cli, finished, tmp_path):
    assert cli("export", finished, "--format", "npz").code == 0
    assert "exists and is not empty" in cli("export", finished, "--format", "npz").refusal
    assert cli("export", finished, "--format", "npz", "--force").code == 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    told = cli("export", finished, "--format", "npz", "--out", "photos", "--force").refusal
    assert "was not written by Attar" in told


@pytest.mark.parametrize(("command", "model"), [("export", ExportResult), ("push", PushRecord)])
def test_schemas(cli, command, model):
    assert cli("schema", command).json == model.model_json_schema()


@pytest.mark.parametrize("command", ["export", "push"])
def test_help(cli, command):
    result = cli(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "RUN" in result.out


@pytest.fixture
def published(monkeypatch):
    calls = []

    def push(artifact, repo, *, private, license, message):
        calls.append((artifact.manifest.size.decoded, repo, private, license, message))
        url = f"https://huggingface.co/datasets/{repo}"
        chosen = license or "unknown"
        return PushRecord(repo=repo, url=url, commit=f"{url}/commit/1", private=private, license=chosen)

    monkeypatch.setattr(hub, "push", push)
    return calls


def test_push_speaks_to_people(cli, finished, published):
    result = cli("push", finished, "user/name", "--private", "--license", "mit", "--message", "first")
    assert (result.code, result.err) == (0, "")
    assert published == [(3, "user/name", True, "mit", "first")]
    said = " ".join(result.out.split())
    for word in ("datasets/user/name (private)", 'attar.load("hf://user/name")', "license mit", REMINDER):
        assert word in said


def test_push_speaks_json(cli, finished, published):
    assert PushRecord.model_validate(cli("push", finished, "user/name", "--json").json).note == REMINDER


def test_mistakes_of_publishing(cli, finished):
    assert "'name' is no address on the Hub" in cli("push", finished, "name").refusal
    assert "unknown license 'mine'" in cli("push", finished, "user/name", "--license", "mine").refusal


def test_sets_on_the_hub_are_taken_where_runs_are(cli, finished, monkeypatch, tmp_path):
    def fetch(repo_id, *, local_dir, **_):
        shutil.copytree(finished / "artifact", local_dir, dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    address = "hf://user/name@v1"
    assert cli("show", address, "--json").json == json.loads(
        (finished / "artifact" / "manifest.json").read_text("utf-8")
    )
    assert cli("evaluate", address, "--baselines", "none", *QUICK, "--json").json["samples"] == 3
    assert cli("export", address, "--format", "npz").code == 0
    assert (tmp_path / "name-npz" / "data.npz").is_file()
    few = ("--set", "protocol.epochs=1", "--device", "cpu")
    assert cli("train", address, "--out", "model.safetensors", *few).code == 0
