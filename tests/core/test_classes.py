"""One rule for labels: what each kind means, and what is refused."""

import logging
from decimal import Decimal

import numpy as np
import pytest
import torch
from attar.classes import MOST_CLASSES, Classes, find_classes
from attar.errors import UsageError

READ = [
    ([1, 10, 2], ("1", "2", "10")),
    (np.array([0, 1, 2], dtype=np.uint8), ("0", "1", "2")),
    (np.array([0, 2**63], dtype=np.uint64), ("0", "9223372036854775808")),
    (torch.tensor([3_000_000_000, 5]), ("5", "3000000000")),
    (torch.tensor([[1], [0]]), ("0", "1")),
    ([torch.tensor(1), torch.tensor(0)], ("0", "1")),
    ([np.int64(1), np.int64(0)], ("0", "1")),
    (["b", "a"], ("a", "b")),
    (np.array(["b", "a"]), ("a", "b")),
    (np.array(["b", "a"], dtype=object), ("a", "b")),
    ([b"b", b"a"], ("a", "b")),
    ([1.0, 0.0], ("0", "1")),
    (torch.tensor([1.0, 0.0], dtype=torch.bfloat16), ("0", "1")),
    (["1.0", "0"], ("0", "1")),
    (["007", "7"], ("7", "007")),
    ([True, False], ("False", "True")),
    (np.array([True, False]), ("False", "True")),
    (["x", "3", "12"], ("3", "12", "x")),
    ([Decimal("2"), Decimal("1")], ("1", "2")),
]


@pytest.mark.parametrize(("labels", "classes"), READ, ids=str)
def test_what_occurs_are_the_classes(labels, classes):
    found = find_classes(labels, "'mine'")
    assert found.names == classes
    numbers = found.numbers(labels, "'mine'")
    assert numbers.dtype == np.int64
    assert sorted(numbers.tolist()) == list(range(len(classes)))


def test_gaps_are_said_in_one_line(caplog):
    with caplog.at_level(logging.INFO):
        find_classes([0, 5, 2], "'mine'")
    assert caplog.messages == ["the labels of 'mine' run from 0 to 5; the 3 that occur are the classes"]


@pytest.mark.parametrize("none", [None, float("nan"), "", " ", -1, -1.0, "-1", np.nan])
def test_a_missing_label_is_refused_and_no_class(none):
    labels = [0, 1, none]
    found = find_classes(labels, "'mine'")
    assert found.names == ("0", "1")
    with pytest.raises(UsageError, match="'mine' has no label in row 2; remove such rows"):
        found.numbers(labels, "'mine'")
    assert found.numbers(labels, "'mine'", missing=True).tolist() == [0, 1, -1]


def test_a_missing_value_of_pandas_is_a_missing_label():
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series([1, None, 0], dtype="Int64")
    assert find_classes(labels, "x").numbers(labels, "x", missing=True).tolist() == [1, -1, 0]
    words = pandas.Series(["b", "a", "b"], dtype="category")
    assert find_classes(words, "x").names == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0.5, 1.0], "has the label 0.5; labels must be whole numbers or names of classes, and 0.5 in row 0"),
        (["0", "1.5"], "has the label 1.5; labels must be whole numbers"),
        ([0, float("inf")], "inf in row 1 is no class"),
        ([0, 1 + 2j], "row 1 is no class"),
        (np.array([1j, 0]), "are complex128; give names of classes or whole numbers"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "give names of classes or whole numbers"),
        ([0, object()], "row 1 is no class"),
        ([0, -2], "has the label -2; number the classes from 0"),
        (np.eye(3), r"several labels per sample, of shape \(3, 3\); give one label per sample \(for one-hot"),
        ([[0, 1], [1, 0]], "several labels per sample"),
        (np.zeros((2, 2, 2)), "have shape"),
        ([], "holds no samples"),
        ([-1, -1], "no sample of 'mine' has a label"),
        ([None], "no sample of 'mine' has a label"),
        (["a", "b" * 2000], "has a label of 2,000 characters"),
        (["a", "\ud800"], "is no valid text"),
        ([0, 10**200], "more than 100 digits"),
        ("words", "are str; give one label per sample"),
    ],
)
def test_what_is_no_class_is_refused(labels, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_classes(labels, "'mine'")


def test_a_column_of_other_things_is_refused():
    with pytest.raises(UsageError, match="100,001 different labels"):
        find_classes(np.arange(MOST_CLASSES + 1), "'mine'")


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        ([1, 0, 2], [1, 0, 2]),
        (["c", "1", "a"], [2, 1, 0]),
        ([3, 1, 2], [2, 0, 1]),
        (["9", "5", "7"], [2, 0, 1]),
    ],
    ids=["places", "names and places", "an offset", "gaps in text"],
)
def test_numbers_of_named_classes(labels, numbers):
    found = find_classes(labels, "'mine'", ["a", "b", "c"])
    assert found.names == ("a", "b", "c")
    assert found.numbers(labels, "'mine'").tolist() == numbers


def test_names_that_are_numbers_do_not_mislead_numbers():
    found = find_classes([0, 1, 0], "'mine'", ["1", "0"])
    assert found.numbers([0, 1], "'mine'").tolist() == [0, 1]
    assert found.numbers(["0", "1"], "'mine'").tolist() == [1, 0]


def test_booleans_of_two_named_classes():
    assert find_classes([True, False], "'mine'", ["no", "yes"]).numbers([True], "'mine'").tolist() == [1]


def test_a_named_class_without_samples_is_left_out(caplog):
    found = find_classes([0, 2], "'mine'", ["a", "b", "c"])
    assert (found.names, found.numbers([2, 0], "'mine'").tolist()) == (("a", "c"), [1, 0])
    assert caplog.messages == ["1 of 3 classes of 'mine' have no training sample and are left out ('b')"]
    with pytest.raises(
        UsageError, match="row 1 of 'test' has the label 1, which the training data do not have"
    ):
        found.numbers([0, 1], "'test'")


@pytest.mark.parametrize(
    ("labels", "names", "sentence"),
    [
        ([0, 3], ["a", "b", "c"], "run from 0 to 3, but there are 3 classes; name them all"),
        (["x"], ["a", "b"], "has the label 'x', which is none of its classes"),
        ([0, 1], ["a", "a"], "two classes called 'a'"),
    ],
)
def test_labels_that_names_do_not_fit_are_refused(labels, names, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_classes(labels, "'mine'", names)


def test_classes_of_names():
    assert Classes.of(("a", "b")).numbers(["b", 0], "x").tolist() == [1, 0]
