from __future__ import annotations

import json

import attar
import numpy as np
import pytest
from attar.errors import UsageError
from attar.plugins import GivenData
from attar_text.corpus import corpus_at, given_corpus
from attar_text.form import TextOptions
from attar_text.rows import read_rows

from tests.text.conftest import sentences

TEXTS, LABELS = sentences()


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_texts_and_labels_are_those_of_the_file(table, name):
    rows = read_rows(table(name), TextOptions())
    assert list(rows.texts) == TEXTS
    assert [int(label) for label in rows.labels] == LABELS


def test_parquet_names_its_classes(tmp_path):
    import datasets

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    data = datasets.Dataset.from_dict({"sentence": TEXTS, "label": LABELS}, features=features)
    data.to_parquet(str(tmp_path / "own.parquet"))
    found = corpus_at(tmp_path / "own.parquet", TextOptions())
    assert found.classes == ("no", "yes")
    assert found.train.labels.tolist() == LABELS
    data.save_to_disk(tmp_path / "saved")
    saved = corpus_at(tmp_path / "saved", TextOptions())
    assert (saved.classes, saved.train.texts) == (found.classes, found.train.texts)


@pytest.mark.parametrize("turned", [False, True])
def test_without_a_header_the_longer_cells_are_the_texts(table, turned):
    pairs = [(label, text) if turned else (text, label) for text, label in zip(TEXTS, LABELS, strict=True)]
    assert list(read_rows(table("own.tsv", pairs, header=None), TextOptions()).texts) == TEXTS


def test_columns_can_be_named(table):
    path = table("own.csv", header=("words", "mood"))
    rows = read_rows(path, TextOptions(text_column="words", label_column="mood"))
    assert list(rows.texts) == TEXTS


def test_columns_without_names_have_numbers(table):
    rows = [(number, text, label) for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]
    path = table("own.tsv", rows, header=None)
    with pytest.raises(UsageError, match="3 columns without names; say which holds the labels"):
        read_rows(path, TextOptions())
    assert list(read_rows(path, TextOptions(text_column="1", label_column="2")).texts) == TEXTS


def test_a_cell_in_quotes_may_hold_commas_and_line_breaks(tmp_path):
    (tmp_path / "own.csv").write_text('\ufefftext,label\n"good, and\nlong",1\n"a ""word""",0\n', "utf-8")
    assert read_rows(tmp_path / "own.csv", TextOptions()).texts == ("good, and\nlong", 'a "word"')


def test_quotes_are_letters_in_tsv(tmp_path):
    (tmp_path / "own.tsv").write_text('say "good\t1\nit\'s " bad\t0\n', "utf-8")
    assert read_rows(tmp_path / "own.tsv", TextOptions()).texts == ('say "good', "it's \" bad")


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_a_line_of_a_megabyte_is_read(table, name):
    long = "good " * 250_000
    rows = read_rows(table(name, [(long, 1), ("bad", 0)]), TextOptions())
    assert rows.texts[0].strip() == long.strip()


def test_words_like_null_stay_words(table):
    assert read_rows(table(rows=[("NA", "null"), ("null", "nan!")]), TextOptions()).texts == ("NA", "null")


def refused(path, words, **options):
    with pytest.raises(UsageError) as caught:
        corpus_at(path, TextOptions(**options))
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_a_missing_column_is_named_with_those_there_are(table, name):
    refused(table(name), ["unknown column 'words'", "label, text", "data.text_column"], text_column="words")


def test_a_header_of_other_words_is_not_taken_for_a_text(table):
    path = table(header=("words", "mood"))
    refused(path, ["may be a header", "'mood'", "data.text_column='words'", "data.label_column=1"])
    assert len(read_rows(path, TextOptions(text_column="0", label_column="1")).texts) == len(TEXTS) + 1


def test_columns_of_other_names_are_listed(table):
    refused(
        table(header=("words", "mood")), ["words, mood", "--set data.text_column=NAME"], label_column="mood"
    )


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_an_empty_text_is_named_by_its_row(table, name):
    refused(
        table(name, [("good", 1), ("  ", 0)]), ["no text in row 1", "remove or repair it", "data.bad=skip"]
    )


def test_all_rows_without_a_text_or_a_label_are_named_or_left_out(table, caplog):
    rows = [("good", 1), ("", 0), ("bad", ""), ("fine", 1), ("poor", 0), (" ", "")]
    refused(
        table(rows=rows),
        ["3 rows are bad", "no text in row 1", "no label in row 2", "no text and no label in row 5"],
    )
    found = corpus_at(table(rows=rows), TextOptions(bad="skip"))
    assert found.train.texts == ("good", "fine", "poor")
    assert found.skipped == ("row 1", "row 2", "row 5")
    assert "3 of the 6 rows of" in caplog.text


def test_rows_given_in_python_can_be_left_out():
    texts, labels = [*TEXTS], [*LABELS]
    texts[1], labels[2] = None, float("nan")
    task = attar.task("text", data=(texts, labels), bad="skip", validation=0, width=2)
    assert task.about["skipped"] == {"samples": 2, "names": ["row 1", "row 2"]}


def test_one_label_is_refused(table):
    refused(table(rows=[("good", "x"), ("bad", "x")]), ["only the label 'x'", "two classes"])


def test_a_label_that_is_no_class_is_refused(table):
    refused(table(rows=[("good", 0.5), ("bad", 1.5)]), ["label 0.5", "row 0", "no class"])


def test_a_missing_label_is_refused(table):
    refused(table(rows=[("good", 1), ("bad", "")]), ["no label in row 1"])


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_another_encoding_than_utf_8_is_refused(tmp_path, name):
    line = (
        '{"text": "caf\xe9", "label": 1}'
        if name.endswith("jsonl")
        else f"caf\xe9{',' if 'csv' in name else chr(9)}1"
    )
    (tmp_path / name).write_bytes(f"{line}\n{line}\n".encode("latin-1"))
    refused(tmp_path / name, ["not UTF-8", "iconv"])


def test_a_row_with_too_many_cells_is_refused(table):
    path = table()
    path.write_text(path.read_text("utf-8") + "one,two,three,four\n", "utf-8")
    refused(path, ["cannot be read as a table", "repair"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{\n", ["line 1", "no JSON"]),
        ("[1]\n", ["line 1", "no JSON object"]),
        pytest.param("[" * 100_000 + "\n", ["line 1", "no JSON"], id="nested"),
        pytest.param('{"text": "a", "label": ' + "9" * 5000 + "}\n", ["line 1", "no JSON"], id="digits"),
    ],
)
def test_a_line_that_is_no_object_is_refused(tmp_path, content, words):
    (tmp_path / "own.jsonl").write_text(content, "utf-8")
    refused(tmp_path / "own.jsonl", words)


@pytest.mark.parametrize("name", ["own.csv", "own.tsv", "own.jsonl"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, ["is empty"])


def test_a_damaged_parquet_file_is_refused(tmp_path):
    (tmp_path / "own.parquet").write_bytes(b"PAR1 no")
    refused(tmp_path / "own.parquet", ["cannot be read as Parquet"])


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "own.txt").write_text("good 1", "utf-8")
    refused(tmp_path / "own.txt", ["no table", ".csv", ".parquet"])


def test_a_folder_has_splits(table, tmp_path):
    for name in ("train", "dev", "test"):
        table(f"{name}.tsv")
    found = corpus_at(tmp_path, TextOptions())
    assert found.validation is not None
    assert found.test is not None


def test_what_is_called_validation_is_the_test_where_there_is_no_other(table, tmp_path):
    table("train.csv")
    table("validation.csv")
    found = corpus_at(tmp_path, TextOptions())
    assert found.test is not None
    assert found.validation is None


def test_a_folder_without_splits_is_refused(table, tmp_path):
    table("mine.csv")
    refused(tmp_path, ["mine.csv", "train.csv and test.csv"])


def test_a_label_that_only_the_test_has_is_refused(table, tmp_path):
    table("train.csv")
    table("test.csv", [("good", 1), ("odd", 7)])
    refused(tmp_path, ["row 1 of", "has the label '7', which the training data do not have"])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("texts", ["'mine' is str", "a list of texts and one of labels"]),
        ((["good", "bad"], [1]), ["2 texts but 1 labels"]),
        ((["good", 3], [1, 0]), ["int instead of a text in row 1"]),
    ],
    ids=["no pair", "lengths", "no text"],
)
def test_what_is_no_pair_of_texts_and_labels_is_refused(data, words):
    with pytest.raises(UsageError) as caught:
        given_corpus(GivenData(train=data), "mine", TextOptions())
    assert all(word in str(caught.value) for word in words)


def test_given_classes_name_numbers():
    found = given_corpus(
        GivenData(train=(TEXTS, np.array(LABELS)), classes=("bad", "good")), "mine", TextOptions()
    )
    assert found.classes == ("bad", "good")
    assert found.train.labels.tolist() == LABELS


def test_json_lines_may_lack_a_key(tmp_path):
    rows = [{"text": "good", "label": 1}, {"text": "bad", "label": 0, "more": 1}]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert read_rows(tmp_path / "own.jsonl", TextOptions()).texts == ("good", "bad")


@pytest.mark.parametrize(("name", "between"), [("own.csv", ","), ("own.tsv", "\t")])
def test_a_table_of_very_many_columns_is_refused_before_it_is_read(tmp_path, name, between):
    (tmp_path / name).write_text(between.join(f"c{number}" for number in range(65_537)) + "\n", "utf-8")
    refused(tmp_path / name, ["has 65,537 columns, more than the 65,536"])
