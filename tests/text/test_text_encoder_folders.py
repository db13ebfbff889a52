"""What the folder of a sentence encoder says of its use: carried out, or refused by name."""

import json

import pytest
import torch
from attar.errors import UsageError
from attar_text.encoders import own_pooling, pooled

MODULES = ["Transformer", "Pooling", "Normalize"]
PATHS = {"Transformer": "", "Pooling": "1_Pooling"}


def written(folder, pooling=None, modules=None, **files):
    (folder / "1_Pooling").mkdir()
    if pooling is not None:
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    if modules is not None:
        kinds = [
            {
                "idx": place,
                "name": str(place),
                "path": PATHS.get(kind, f"{place}_{kind}"),
                "type": f"sentence_transformers.models.{kind}",
            }
            for place, kind in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(kinds), "utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


@pytest.mark.parametrize("modules", [None, MODULES, ["Transformer", "Pooling"]], ids=str)
@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "sqrt"),
        ({"pooling_mode_weightedmean_tokens": True}, "weighted"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
        (None, "mean"),
    ],
    ids=str,
)
def test_pooling_is_what_the_folder_says(tmp_path, modules, config, pooling):
    assert own_pooling(written(tmp_path, config, modules)) == pooling


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"modules": [*MODULES, "Dense"]}, "asks for a module 'Dense', which Attar does not do"),
        ({"modules": ["Transformer", "LSTM", "Pooling"]}, "a module 'LSTM'"),
        ({"modules": ["Pooling"]}, "the modules Pooling"),
        (
            {"pooling": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}},
            "put together of cls_token and mean_tokens pooling",
        ),
        ({"pooling": {"pooling_mode": "median"}}, "'median' pooling"),
        ({"pooling": {"word_embedding_dimension": 4}}, "no known pooling"),
        ({"sentence_bert_config": {"do_lower_case": True}}, "texts in lower case"),
        (
            {"config_sentence_transformers": {"prompts": {"q": "query: "}, "default_prompt_name": "q"}},
            "the prompt 'query: ' before each text",
        ),
    ],
    ids=str,
)
def test_what_is_not_done_is_refused_by_name(tmp_path, given, sentence):
    with pytest.raises(UsageError, match=sentence):
        own_pooling(written(tmp_path, **given))


@pytest.mark.parametrize(
    "modules", [3, ["Pooling"], [{"type": "Transformer"}, {"type": "Pooling", "path": "../.."}]]
)
def test_a_damaged_list_of_modules_is_refused(tmp_path, modules):
    (tmp_path / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(UsageError, match="restore it"):
        own_pooling(tmp_path)


def test_ways_of_pooling():
    states = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    expected = {
        "mean": [2.0, -3.0],
        "max": [3.0, -2.0],
        "sqrt": [4 / 2**0.5, -6 / 2**0.5],
        "weighted": [7 / 3, -8 / 3],
    }
    for pooling, values in expected.items():
        torch.testing.assert_close(pooled(states, mask, pooling), torch.tensor([values]))
