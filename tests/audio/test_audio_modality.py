"""Augmentation, networks, pictures, sounds and exports of audio sets."""

from __future__ import annotations

import io
import json

import attar
import numpy as np
import pytest
import soundfile
import torch
from attar.batch import Batch
from attar.rng import derive
from attar_audio import ARCHITECTURES, Loudness, Mask, TimeShift, siamese
from PIL import Image

FEATURE = (1, 16, 20)


def values(n=4):
    return torch.randn(n, *FEATURE, generator=derive(0, "values"))


# Augmentation.


def test_a_shift_moves_frames_and_repeats_the_last():
    shift = TimeShift(0.5)
    moved = shift.transform(values(1), torch.tensor([0.6]))  # 2 · 0.6 - 1 = a fifth of ten frames
    assert moved[..., 2:].equal(values(1)[..., :-2])
    assert moved[..., 0].equal(values(1)[..., 0])


@pytest.mark.parametrize(("mask", "axis"), [(Mask(-1, 0.4), 3), (Mask(-2, 0.5), 2)])
def test_a_mask_leaves_the_mean_in_a_stretch(mask, axis):
    one = torch.ones(1, *FEATURE)
    masked = mask.transform(one, torch.tensor([[0.999, 0.5]]))
    gone = (masked == 0).all(dim=tuple({1, 2, 3} - {axis}))[0]
    side = one.shape[axis]
    assert int(gone.sum()) in (round(mask.most * side) - 1, round(mask.most * side))
    places = gone.nonzero()[:, 0]
    assert int(places.max() - places.min()) + 1 == len(places)


def test_loudness_is_a_sum():
    louder = Loudness(0.5).transform(values(2), torch.tensor([0.75, 0.0]))
    assert torch.allclose(louder - values(2), torch.tensor([0.25, -0.5]).view(2, 1, 1, 1), atol=1e-6)


def test_augmentation_is_differentiable_and_shared():
    augment = siamese()
    draws = augment.draw(8, derive(0, "draws"))
    which = torch.arange(4) % 8
    labels = torch.zeros(4, dtype=torch.int64)
    inputs = values().requires_grad_()
    one = augment.apply(Batch(inputs, labels), draws, which).inputs
    again = augment.apply(Batch(values(), labels), draws, which).inputs
    assert one.equal(again)
    one.sum().backward()
    assert inputs.grad.abs().sum() > 0


# Networks.


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "ntk"])
def test_networks_can_be_differentiated_twice(name):
    """As methods need that match gradients."""
    torch.manual_seed(0)
    net = ARCHITECTURES[name](FEATURE, 3)
    inputs = values().requires_grad_()
    loss = torch.nn.functional.cross_entropy(net(inputs), torch.tensor([0, 1, 2, 0]))
    grads = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    sum((grad**2).sum() for grad in grads).backward()
    assert inputs.grad.isfinite().all()
    assert inputs.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "depth"), [("temporal", 3), ("gru", 1), ("convnet", 3)])
def test_networks_show_their_features(name, depth):
    net = ARCHITECTURES[name](FEATURE, 3)
    maps = net.feature_maps(values())
    assert len(maps) == depth
    assert net.embed(values()).shape[0] == 4
    assert net(values()).shape == (4, 3)


def test_a_recurrent_network_reads_time_in_both_directions():
    net = ARCHITECTURES["gru"](FEATURE, 3)
    changed = values()
    changed[..., -1] += 1
    first = [net.feature_maps(each)[0][:, :, 0] for each in (values(), changed)]
    width = first[0].shape[1] // 2
    assert first[0][:, :width].equal(first[1][:, :width])
    assert not first[0][:, width:].equal(first[1][:, width:])


def test_vectors_are_no_spectrograms():
    with pytest.raises(attar.UsageError, match=r"are no spectrograms \(1, positions, frames\)"):
        ARCHITECTURES["gru"]((5,), 3)


# Sets.


@pytest.fixture
def run(tmp_path):
    task = attar.task("audio", data="tones")
    attar.distill(
        task, method="dm", ipc=1, steps=2, per_class=8, model="convnet,width=8", out=tmp_path / "run"
    )
    return tmp_path / "run"


def test_wavs_open_and_are_as_announced(run, cli, tmp_path):
    assert cli("show", run, "--out", tmp_path / "shown").code == 0
    files = sorted((tmp_path / "shown").glob("*.wav"))
    assert [path.stem.split("-")[1] for path in files] == [
        "tone",
        "rising",
        "falling",
        "noise",
        "clicks",
        "warble",
    ]
    for path in files:
        samples, rate = soundfile.read(path)
        assert (rate, samples.shape) == (8000, (4000,))
        assert np.isfinite(samples).all()
        assert 0.001 < np.abs(samples).max() <= 1
        assert (np.abs(samples) > 0.999).mean() < 0.01
    with Image.open(tmp_path / "shown" / "picture.png") as picture:
        assert min(picture.size) > 200
    told = json.loads((tmp_path / "shown" / "shown.json").read_text())
    assert told["data"]["about"]["front_end"]["rate"] == 8000


def test_a_shown_folder_is_replaced_by_force_alone(run, cli, tmp_path):
    assert cli("show", run, "--out", tmp_path / "shown").code == 0
    again = cli("show", run, "--out", tmp_path / "shown")
    assert (again.code, "--force" in again.err) == (2, True)
    assert cli("show", run, "--out", tmp_path / "shown", "--force").code == 0


def test_a_file_name_gets_the_picture_alone(run, cli, tmp_path):
    assert cli("show", run, "--out", tmp_path / "set.png").code == 0
    with Image.open(tmp_path / "set.png") as picture:
        assert picture.format == "PNG"
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("dtype", "subtype"), [("int16", "PCM_16"), ("float32", "FLOAT")])
def test_wav_exports_are_read_by_others(run, cli, tmp_path, dtype, subtype):
    done = cli("export", run, "--format", "wav", "--dtype", dtype, "--out", tmp_path / "wavs")
    assert done.code == 0, done.err
    assert soundfile.info(tmp_path / "wavs" / "00000.wav").subtype == subtype
    reading = json.loads((tmp_path / "wavs" / "preprocessing.json").read_text())
    assert reading["rate"] == 8000
    lines = (tmp_path / "wavs" / "metadata.csv").read_text().splitlines()
    assert lines[:2] == ["file_name,label,class", "00000.wav,0,tone"]


def test_a_trained_network_takes_files_and_waveforms(run, cli, tmp_path):
    from attar_audio import tones

    out = tmp_path / "net.safetensors"
    few = ("--set", "protocol.epochs=2", "--set", "protocol.steps=2")
    done = cli("train", run, "--out", out, *few)
    assert done.code == 0, done.err
    waves, _, _ = tones()
    target = io.BytesIO()
    soundfile.write(target, waves[0], 8000, format="WAV", subtype="FLOAT")
    (tmp_path / "a.wav").write_bytes(target.getvalue())
    net = attar.load_model(out)
    assert torch.allclose(net.predict(waves[:1]), net.predict([tmp_path / "a.wav"]), atol=1e-5)


def test_mosaics_along_time(cli, tmp_path):
    """As IDC cuts speech: two clips of half the frames in the bytes of one."""
    mosaics = ("--set", "parameterization=multi-formation", "--set", "parameterization.axes=time")
    few = ("--ipc", 1, "--steps", 1, "--set", "per_class=4", "--set", "model=convnet,width=8")
    done = cli("distill", "audio", "--data", "tones", *few, *mosaics, "--out", tmp_path / "mosaics", "--json")
    assert done.code == 0, done.err
    artifact = attar.load(tmp_path / "mosaics")
    assert artifact.decode().inputs.shape == (12, 1, 64, 32)
    assert artifact.manifest.size.stored == 6
