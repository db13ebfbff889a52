from __future__ import annotations

import json

import pytest
import torch

WORDS = "a the film movie was is good great fun fine bad dull poor sad very not and of it plot".split()
GOOD, BAD = "good great fun fine".split(), "bad dull poor sad".split()


def sentences(count=24):
    """Sentences that a word makes good or bad, with their labels."""
    found = []
    for index in range(count):
        word = (GOOD if index % 2 else BAD)[index // 2 % 4]
        found.append(
            (f"the {('film', 'movie', 'plot')[index % 3]} was {'very ' * (index % 5)}{word}", index % 2)
        )
    return [text for text, _ in found], [label for _, label in found]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of a transformer of two layers whose weights are random."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture
def table(tmp_path):
    """Write a table of sentences; return its path."""

    def write(name="own.csv", rows=None, header=("text", "label"), encoding="utf-8"):
        texts, labels = sentences()
        rows = list(zip(texts, labels, strict=True)) if rows is None else rows
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jsonl":
            lines = [json.dumps(dict(zip(header, row, strict=True))) for row in rows]
        else:
            mark = "," if path.suffix == ".csv" else "\t"
            lines = [mark.join(map(str, row)) for row in ([header] if header else []) + rows]
        path.write_text("\n".join(lines) + "\n", encoding)
        return path

    return write
