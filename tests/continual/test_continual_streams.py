import copy

import pytest
import torch
from attar.errors import UsageError
from attar.rng import derive
from attar.testing.toys import toy_task
from attar_continual import InContext, class_stream, group_stream
from attar_continual.streams import class_order, sizes_of
from hypothesis import given
from hypothesis import strategies as st

from tests.testing_kit.test_kit_structured import BoxTask


@given(st.integers(1, 40), st.integers(1, 40))
def test_no_class_is_dropped_however_they_are_told_over_experiences(experiences, classes):
    if experiences > classes:
        with pytest.raises(UsageError, match="cannot be told over"):
            sizes_of(experiences, classes)
        return
    sizes = sizes_of(experiences, classes)
    assert (len(sizes), sum(sizes)) == (experiences, classes)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("sizes", [(3, 2), (7,), (0, 6), ()])
def test_sizes_that_are_not_those_of_all_classes_are_refused(task, sizes):
    with pytest.raises(UsageError, match="do not make the 6 classes"):
        class_stream(task, sizes)


def test_each_class_comes_once_with_all_its_samples(task):
    stream = class_stream(task, (3, 1, 2), class_order(task, 7))
    assert [len(torch.unique(task.labels[rows])) for rows in stream.train] == [3, 1, 2]
    assert sorted(torch.cat(stream.train).tolist()) == list(range(task.size("train")))
    assert sorted(torch.cat(stream.test).tolist()) == list(range(task.size("test")))
    assert sorted(torch.cat(stream.validation).tolist()) == list(range(task.size("validation")))
    assert ", ".join(stream.names).count(",") == 5


def test_orders_follow_the_seed(task):
    orders = {class_order(task, seed) for seed in range(5)}
    assert len(orders) > 1
    assert class_order(task, 1) == class_order(task, 1)
    assert all(sorted(order) == list(range(6)) for order in orders)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 6)])
def test_an_order_without_each_class_once_is_refused(task, order):
    with pytest.raises(UsageError, match="must name each of the 6 classes once"):
        class_stream(task, 3, order)


def test_experiences_are_what_avalanche_expects(task):
    stream = class_stream(task, 3)
    made = stream.benchmark()
    experience = made.train_stream[1]
    x, y, label = experience.dataset[0]
    row = stream.train[1][0]
    torch.testing.assert_close(x, task.view(row[None]).inputs[0])
    assert (y, label) == (int(task.labels[row]), 0)
    assert list(experience.dataset.targets) == task.labels[stream.train[1]].tolist()
    assert len(made.test_stream) == len(made.validation_stream) == 3
    assert not hasattr(experience, "task_labels")


def test_task_labels_are_told_where_they_are_asked_for(task):
    made = class_stream(task, 3, task_labels=True).benchmark()
    assert [list(each.task_labels) for each in made.train_stream] == [[0], [1], [2]]
    assert made.train_stream[2].dataset[0][2] == 2


def test_large_data_are_decoded_when_they_are_asked_for(task, monkeypatch):
    monkeypatch.setattr("attar_continual.items._LARGEST", 0)
    whole = class_stream(task, 3)
    item = whole.benchmark().train_stream[0].dataset[4][0]
    torch.testing.assert_close(item, task.view(whole.train[0][4:5]).inputs[0])


def test_samples_that_are_more_than_tensors_go_by_number():
    inner = toy_task((4,), classes=4, n=80, modality="tensor")
    task = BoxTask(inner)
    stream = class_stream(task, 2)
    made = stream.benchmark()
    model = InContext(task.build("mlp,width=8,depth=1", derive(0)), task)
    for split, rows in (
        ("train", stream.train[1]),
        ("test", stream.test[1]),
        ("validation", stream.validation[1]),
    ):
        data = getattr(made, f"{split}_stream")[1].dataset
        numbers = torch.stack([data[place][0] for place in range(len(data))])
        torch.testing.assert_close(model(numbers), model.model(task.view(rows, split).inputs))
    extra = task.view(torch.tensor([3, 5]))
    mixed = torch.cat([numbers[:1], model.remember(extra), numbers[1:2]])
    found = model(mixed)
    torch.testing.assert_close(found[1:3], model.model(extra.inputs))
    torch.testing.assert_close(found[[0, 3]], model(numbers[:2]))


def test_a_copy_has_a_network_of_its_own_and_the_same_data():
    task = BoxTask(toy_task((4,), classes=4, n=80, modality="tensor"))
    model = InContext(task.build("mlp,width=8,depth=1", derive(0)), task)
    numbers = model.remember(task.view(torch.tensor([1, 2])))
    again = copy.deepcopy(model)
    torch.testing.assert_close(again(numbers), model(numbers))
    with torch.no_grad():
        next(again.parameters()).add_(1)
    assert not torch.equal(again(numbers), model(numbers))
    assert again._task is task


class Named:
    """A task whose samples have names."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def caption(self, row):
        return f"take{row}_{'abc'[row % 3]}.wav"


def test_groups_are_experiences_with_one_test_for_all(task):
    stream = group_stream(Named(task), r"_(?P<group>[a-z])\.wav", seed=1)
    assert sorted(stream.names) == ["a", "b", "c"]
    for name, rows in zip(stream.names, stream.train, strict=True):
        assert {"abc"[row % 3] for row in rows.tolist()} == {name}
    assert len(torch.cat(stream.train)) == task.size("train")
    made = stream.benchmark()
    assert (len(made.train_stream), len(made.test_stream)) == (3, 1)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(", "is no regular expression"), ("_([a-z])", "finds no group"), ("_(?P<group>z)", "has no group")],
)
def test_patterns_that_find_no_groups_are_refused(task, pattern, said):
    with pytest.raises(UsageError, match=said):
        group_stream(Named(task), pattern)


def test_samples_without_names_have_no_groups(task):
    with pytest.raises(UsageError, match="samples without names have no groups"):
        group_stream(task, "(?P<group>.)")
