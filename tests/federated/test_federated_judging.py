import pytest
import torch
from attar_federated.judging import agreement, judge
from attar_federated.settings import RobustSettings
from flwr.app import ArrayRecord, RecordDict

FLIPPED = 1


def flipped(reply):
    """The client's own samples, each said to be of another class."""
    arrays = {name: array.numpy().copy() for name, array in reply.content["set"].items()}
    arrays["labels"] = (3 - arrays["labels"]).astype(arrays["labels"].dtype)
    return _with(reply, arrays)


def noise(reply):
    generator = torch.Generator().manual_seed(0)
    arrays = {name: array.numpy().copy() for name, array in reply.content["set"].items()}
    shape = arrays["values.values"].shape
    arrays["values.values"] = torch.randn(shape, generator=generator).numpy()
    return _with(reply, arrays)


def _with(reply, arrays):
    from flwr.app import Array

    content = {name: Array(value) for name, value in arrays.items()}
    return RecordDict({**reply.content, "set": ArrayRecord(content)})


def test_agreement_counts_every_class_that_others_know_alike():
    answers, labels = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 0, 0, 0, 2])
    assert agreement(answers, labels, [0, 2]) == pytest.approx((0.75 + 1) / 2)
    assert agreement(answers, labels, [2]) == 1
    assert agreement(answers, labels, [3]) is None


@pytest.mark.parametrize("wrong", [flipped, noise])
def test_a_client_whose_labels_or_samples_are_wrong_is_left_out(wrong, recipe, replayed):
    def answer(number, reply):
        return wrong(reply) if number == FLIPPED else reply.content

    trusting = replayed(recipe(), answer)
    found = replayed(recipe(robust={}), answer)
    absent = replayed(recipe(), lambda number, reply: None if number == FLIPPED else reply.content)
    assert [one.client for one in found.result.dropped] == [FLIPPED + 1]
    assert "the others agree with" in found.result.dropped[0].reason
    assert found.union.manifest.sha256 == absent.union.manifest.sha256
    assert found.result.accuracy.mean >= trusting.result.accuracy.mean


def test_honest_clients_stay(recipe, replayed):
    assert replayed(recipe(robust={})).result.dropped == ()


def test_honest_clients_with_few_classes_stay(recipe, run, shares):
    wanted = recipe(robust={}, partition="dirichlet,alpha=0.1")
    assert run(wanted).result.dropped == ()


def test_of_two_that_disagree_nobody_is_left_out(recipe, run, task):
    tasks = [task.subset(torch.arange(80)), task.subset(torch.arange(80, 160))]
    wanted = recipe(robust={}, clients=2)
    found = run(wanted, lambda number, reply: flipped(reply) if number else reply.content, tasks=tasks).result
    assert found.dropped == ()


def test_what_nodes_are_called_changes_no_judgment(task):
    sets = [task.gather(torch.arange(start, 160, 3)) for start in range(3)]
    protocol = next(iter(task.protocols.values()))

    def agreed(*names):
        found = judge(
            dict(zip(names, sets, strict=True)), "hard", task, "", protocol, RobustSettings(epochs=3), 0
        )
        return list(found.agreement.values())

    assert agreed(1, 2, 3) == agreed(901, 77, 5)
