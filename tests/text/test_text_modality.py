from __future__ import annotations

import shutil

import attar
import numpy as np
import pytest
import torch
from attar.errors import UsageError
from attar.plugins import DataInfo, GivenData, LoadRequest
from attar.protocols import protocol
from attar.rng import derive
from attar.tensor import Mixup
from attar.testing import ModalityData, check_modality
from attar_text import TEXT, TextOptions
from attar_text.augment import Dropout, TokenDropout, TokenNoise
from attar_text.encoders import TransformerEncoder
from attar_text.render import likeness
from attar_text.sequences import token_mask
from attar_text.tokens import nearest_tokens, padded, usual_length

from tests.text.conftest import sentences

TEXTS, LABELS = sentences(60)


@pytest.fixture
def load(tmp_path):
    def call(data="notes", given=None, **options):
        return TEXT.load(
            LoadRequest(
                data=str(data), root=tmp_path, download=False, options=TextOptions(**options), given=given
            )
        )

    return call


def info_of(task, encoder=None):
    """What an artifact would say, with the encoder's folder named as a user does."""
    return DataInfo(
        classes=task.classes,
        axes=task.axes,
        preprocessing=task.preprocessing,
        options=task.options if encoder is None else {**task.options, "encoder": str(encoder)},
        feature=task.feature,
        about=task.about,
    )


def given(**more):
    return GivenData(train=(TEXTS, LABELS), **more)


def test_the_generated_sentences_are_called_so(load):
    task = load()
    assert "generated" in TEXT.datasets()["notes"]
    assert task.license == "cc0-1.0"
    assert task.feature == (256,)
    assert len(task.classes) == 4


def test_each_training_row_has_its_text(load):
    task = load("mine", given())
    assert len(task.texts) == task.size("train")
    for row in (0, 7, 20):
        assert task.caption(row) in TEXTS
        assert LABELS[TEXTS.index(task.caption(row))] == int(task.labels[row])
    rows = torch.tensor([5, 2])
    fewer = task.subset(rows)
    assert fewer.texts == (task.texts[5], task.texts[2])
    torch.testing.assert_close(fewer.gather(torch.arange(2)).inputs, task.gather(rows).inputs)


def test_no_text_is_on_two_sides(load):
    numbered = [f"{text} {number}" for number, text in enumerate(TEXTS)]
    task = load("mine", GivenData(train=(numbered, LABELS)))
    assert len(task.texts) + task.size("validation") + task.size("test") == len(TEXTS)
    assert task.size("validation") > 0


def test_the_bytes_of_real_texts_are_those_of_utf_8(load):
    task = load("mine", given())
    rows = torch.tensor([0, 3])
    assert task.raw_bytes(rows) == sum(len(task.texts[row].encode()) for row in rows) + 2


def test_tfidf_is_fitted_on_training_texts(load):
    """Words that only test texts have change nothing."""
    test = (["good film", "bad film"], [1, 0])
    other = (["good zebra zebra", "bad zebra"], [1, 0])
    one, two = (load("mine", given(test=each)) for each in (test, other))
    assert one.fingerprint == two.fingerprint
    assert one.test_fingerprint != two.test_fingerprint


def test_vectors_are_made_once(load, encoder, monkeypatch):
    one = load("mine", given(), encoder=str(encoder))
    monkeypatch.setattr(TransformerEncoder, "encode", lambda *_: pytest.fail("encoded again"))
    assert load("mine", given(), encoder=str(encoder)).fingerprint == one.fingerprint


def test_an_artifact_names_its_encoder_and_no_folder(load, encoder, tmp_path):
    task = load("mine", given(), encoder=str(encoder))
    run = attar.distill(task, ipc=1, method="dm", steps=2)
    run.save(tmp_path / "set")
    for path in (tmp_path / "set").rglob("*"):
        assert not path.is_file() or str(encoder.parent).encode() not in path.read_bytes()


@pytest.mark.parametrize("mode", ["sentence", "token"])
def test_new_texts_are_encoded_as_the_training_texts_were(load, encoder, monkeypatch, mode):
    task = load("mine", given(), encoder=str(encoder), mode=mode)
    info = info_of(task, encoder)
    new = TEXT.domain(info).preprocess([task.texts[3], task.texts[4]])
    torch.testing.assert_close(new, task.gather(torch.tensor([3, 4])).inputs, atol=1e-4, rtol=1e-4)
    alone = TEXT.domain(info).preprocess(task.texts[3])
    torch.testing.assert_close(alone, new[:1], atol=1e-4, rtol=1e-4)


def test_another_encoder_of_that_name_is_refused(load, encoder, tmp_path):
    task = load("mine", given(), encoder=str(encoder))
    other = shutil.copytree(encoder, tmp_path / "other" / "tiny")
    (other / "tokenizer_config.json").write_text('{"model_max_length": 9}')
    info = info_of(task, other)
    with pytest.raises(UsageError, match="another one than the set was made with"):
        TEXT.domain(info).preprocess("good")


def test_new_texts_for_tfidf_are_refused(load):
    task = load()
    info = info_of(task)
    with pytest.raises(UsageError, match="fitted on the training texts"):
        TEXT.domain(info).preprocess("good film")
    assert TEXT.domain(info).preprocess(np.zeros(256, np.float32)).shape == (1, 256)


def test_unknown_data_say_what_there_is(load):
    with pytest.raises(UsageError, match=r"unknown data 'sst'.*notes.*hf:OWNER/NAME"):
        load("sst")


def test_token_mode_needs_a_transformer(load):
    with pytest.raises(UsageError, match="tfidf has no embeddings of tokens"):
        load(mode="token")


def test_texts_beyond_the_length_are_counted(load, encoder, caplog):
    load("mine", given(), encoder=str(encoder), length=5)
    counts = [record.message for record in caplog.records]
    longer = sum(len(text.split()) + 2 > 5 for text in TEXTS)
    assert sum(int(message.split()[0]) for message in counts) == longer
    assert all("longer than the 5 tokens" in message for message in counts)


def test_rows_of_tokens_are_embeddings_and_end_in_zeros(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=6)
    assert task.axes == ("token", "dimension")
    assert task.feature == (6, 16)
    inputs = task.gather(torch.arange(task.size("train"))).inputs
    words = [min(len(text.split()), 6) for text in task.texts]
    assert token_mask(inputs).sum(1).tolist() == words
    assert float(inputs[token_mask(inputs)].pow(2).mean()) == pytest.approx(1, rel=0.05)


def test_the_nearest_tokens_of_real_texts_are_theirs(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=4)
    batch = task.gather(torch.tensor([0, 1]))
    own = TransformerEncoder(encoder, str(encoder), "mean", True, 0)
    found = nearest_tokens(task.preprocess.decode(batch.inputs), own, most=64)
    assert [[word for word, _ in row] for row in found] == [task.texts[row].split()[:4] for row in (0, 1)]
    assert max(far for row in found for _, far in row) < 1e-2


def test_rows_near_zero_are_no_tokens(encoder):
    own = TransformerEncoder(encoder, str(encoder), "mean", True, 0)
    values = torch.stack([own.embeddings[7], torch.zeros(16), own.embeddings[9]])[None]
    assert [word for word, _ in nearest_tokens(values, own)[0]] == own.words([7, 9])
    assert nearest_tokens(values[:, 1:2], own) == [[]]


def test_the_usual_length_covers_nineteen_of_twenty():
    ids = [[0] * 5] * 95 + [[0] * 50] * 5
    assert usual_length(ids, 0) == 50
    assert usual_length([[0] * 5] * 96 + [[0] * 50] * 4, 0) == 5
    assert usual_length([[0] * 500] * 3, 0) == 64
    assert usual_length([[0] * 500] * 3, 24) == 24
    assert usual_length([[]], 0) == 1


def test_padding_is_no_token():
    assert padded([[3, 4, 5], [6]], 2).tolist() == [[3, 4], [6, -1]]


@pytest.mark.parametrize("arch", ["textcnn,width=8", "gru,width=8", "transformer,width=8", "encoder"])
def test_what_stands_behind_the_end_changes_nothing(load, encoder, arch):
    """A text has the same answer in a row of any length."""
    short, long = (load("mine", given(), encoder=str(encoder), mode="token", length=n) for n in (9, 14))
    nets = [task.build(arch, derive(0, "net")) for task in (short, long)]
    nets[1].load_state_dict(nets[0].state_dict())
    rows = torch.tensor([row for row, text in enumerate(short.texts) if len(text.split()) <= 8][:6])
    one, two = (net(task.gather(rows).inputs) for net, task in zip(nets, (short, long), strict=True))
    scale = short.preprocess.std[0] / long.preprocess.std[0]
    assert scale == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "arch", ["textcnn,width=8", "gru,width=8", "transformer,width=8", "residual,width=8", "encoder"]
)
def test_networks_can_be_differentiated_twice(load, encoder, arch):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=5)
    net = task.build(arch, derive(0, "net"))
    inputs = task.gather(torch.arange(3)).inputs.requires_grad_()
    loss = torch.nn.functional.cross_entropy(net(inputs), torch.tensor([0, 1, 0]))
    learned = [each for each in net.parameters() if each.requires_grad]
    gradients = torch.autograd.grad(loss, learned, create_graph=True)
    twice = torch.autograd.grad(sum(each.pow(2).sum() for each in gradients), inputs)[0]
    assert torch.isfinite(twice).all()
    assert twice.abs().sum() > 0


def test_the_encoder_as_a_network_begins_as_the_encoder(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=12)
    rows = torch.arange(6)
    net = task.build("encoder", derive(0, "net"))
    own = TransformerEncoder(encoder, "tiny", "auto", False, 0).encode([task.texts[row] for row in rows])[0]
    torch.testing.assert_close(
        net.embed(task.gather(rows).inputs), torch.from_numpy(own), atol=1e-5, rtol=1e-4
    )
    assert len(net.feature_maps(task.gather(rows).inputs)) == 2
    # The table of embeddings has no part in the answer to embeddings.
    assert not net.model.get_input_embeddings().weight.requires_grad
    fewer = task.build("encoder,layers=1", derive(0, "net"))
    assert len(fewer.feature_maps(task.gather(rows).inputs)) == 1


def test_the_encoder_as_a_network_is_built_from_what_an_artifact_says(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=6)
    net, again = (
        each.build("encoder", derive(0, "net")) for each in (task, TEXT.domain(info_of(task, encoder)))
    )
    inputs = task.gather(torch.arange(3)).inputs
    torch.testing.assert_close(net(inputs), again(inputs))


def test_the_encoder_as_a_network_is_distilled_and_evaluated(load, encoder, tmp_path):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=6)
    made = attar.distill(task, method="dm", ipc=1, steps=2, per_class=4, model="encoder,layers=1")
    quick = {"epochs": 2, "networks": 1, "plateau": None}
    report = attar.evaluate(made, task, protocol=protocol("cpu-1", quick), baselines=(), cache=tmp_path)
    assert report.architecture == "encoder,layers=1"


def test_more_tokens_than_the_encoder_reads_are_refused(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=23)
    with pytest.raises(UsageError, match=r"reads 24 tokens, and samples have 25 .* set data.length to 22"):
        task.build("encoder", derive(0, "net"))


def test_networks_for_tokens_refuse_vectors(load):
    with pytest.raises(UsageError, match="no rows of tokens"):
        load().build("textcnn", derive(0, "net"))


def test_the_width_of_a_transformer_is_checked(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=5)
    with pytest.raises(UsageError, match="multiple of 4"):
        task.build("transformer,width=6", derive(0, "net"))


@pytest.mark.parametrize("kind", [Dropout(0.25), TokenDropout(0.25)])
def test_dropout_leaves_out_a_part(kind):
    values = torch.ones(8, 40, 50)
    draws = kind.draw(8, torch.Generator().manual_seed(0))
    out = kind.transform(values, draws)
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.06)
    torch.testing.assert_close(kind.transform(values, draws), out)
    if isinstance(kind, TokenDropout):
        assert ((out == 0).all(-1) | (out != 0).all(-1)).all()
    else:
        assert float(out.mean()) == pytest.approx(1, abs=0.05)


def test_mixup_is_there_if_asked_for(load):
    assert not any(isinstance(each, Mixup) for each in load().augment.operations)
    assert any(isinstance(each, Mixup) for each in load(mixup=True).augment.operations)


def test_noise_makes_no_tokens():
    values = torch.ones(3, 5, 4)
    values[:, 3:] = 0
    noise = TokenNoise(0.5)
    noisy = noise.transform(values, noise.draw(3, derive(0, "draw")))
    assert (noisy[:, 3:] == 0).all()
    assert (noisy[:, :3] != values[:, :3]).all()


@pytest.mark.parametrize("arch", ["textcnn,width=8", "gru,width=8", "transformer,width=8", "encoder"])
@pytest.mark.parametrize("method", ["dm", "frepo"])
def test_a_distilled_text_keeps_its_length(load, encoder, arch, method):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=9)
    asked = {"method": method, "ipc": 3, "lr": 0.5, "model": arch, "per_class": 4}
    (begun, done) = (attar.distill(task, **asked, steps=steps).decode().inputs.detach() for steps in (1, 3))
    assert token_mask(done).equal(token_mask(begun))
    assert not token_mask(done).all()
    assert (done != begun).any()


def test_likeness_is_the_cosine():
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    expected = torch.tensor([1.0, 0.0, -1.0, 0.5**0.5])
    torch.testing.assert_close(likeness(values)[0], expected)
    tokens = torch.stack([values, values.flip(0)], 1)
    torch.testing.assert_close(likeness(tokens), likeness(tokens.mean(1)))


def test_a_picture_is_drawn_of_any_number_of_samples(load):
    task = load()
    for rows in ([0], list(range(300))):
        picture = TEXT.render(task.gather(torch.tensor(rows)), info_of(task))
        assert picture.startswith(b"\x89PNG")


def test_the_encoder_named_tokens_describe_a_set(load, encoder):
    task = load("mine", given(), encoder=str(encoder), mode="token", length=3)
    info = info_of(task, encoder)
    (line,) = TEXT.described(task.gather(torch.tensor([2])), info)
    assert line == f"{' '.join(task.texts[2].split()[:3])} (0.00)"
    vectors = load()
    assert TEXT.described(vectors.gather(torch.tensor([0])), info_of(vectors)) is None


def test_rows_of_tokens_keep_the_laws_of_a_modality(encoder, monkeypatch):
    monkeypatch.chdir(encoder.parent)
    options = {"mode": "token", "encoder": encoder.name, "length": 6}
    check_modality(TEXT, ModalityData(data="notes", options=options), name="text")
