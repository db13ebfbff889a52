from dataclasses import replace

import pytest
import torch
from attar.testing.toys import toy_task
from attar_federated.judging import agreement, denied, judge
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


def swapped(labels):
    return torch.where(labels == 1, 2, torch.where(labels == 2, 1, labels))


def test_two_of_ten_that_swap_two_classes_are_left_out():
    # Most of their labels are right, so that agreement with all classes together does not tell them.
    whole = toy_task((6,), classes=6, n=600, seed=3, modality="tensor")
    sets = {}
    for client in range(10):
        own = whole.gather(torch.arange(client * 60, client * 60 + 60))
        sets[client] = replace(own, labels=swapped(own.labels)) if client in (3, 8) else own
    protocol = next(iter(whole.protocols.values()))
    found = judge(sets, "hard", whole, "", protocol, RobustSettings(epochs=30), 0)
    assert min(found.agreement.values()) > 0.5
    assert sorted(found.dropped) == [3, 8]
    assert all(reason.endswith("samples of 'class-1', 'class-2'") for reason in found.dropped.values())


def tallies(*rows):
    return {client: dict(enumerate(row)) for client, row in enumerate(rows)}


RIGHT = [(9, 10), (10, 10), (19, 20)]


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        pytest.param([(0, 10), (10, 10), (20, 20)], [0], id="a class"),
        pytest.param([(0, 10), (1, 10), (20, 20)], [0, 1], id="two classes"),
        pytest.param([(0, 2), (10, 10), (20, 20)], None, id="too few samples"),
        pytest.param([(6, 10), (7, 10), (14, 20)], None, id="a client that is worse in all"),
        pytest.param([(9, 10), (10, 10), (20, 20)], None, id="an honest one"),
    ],
)
def test_classes_are_denied_where_chance_hardly_explains_it(last, wanted):
    found = denied(tallies(*[RIGHT] * 5, last), 0.5, 3)
    assert found == ({} if wanted is None else {5: wanted})


def test_of_two_that_hold_a_class_nobody_is_denied_it():
    assert denied(tallies([(10, 10)], [(0, 10)]), 0.5, 1) == {}


def test_honest_clients_are_hardly_ever_denied_a_class():
    generator = torch.Generator().manual_seed(0)
    wrong = 0
    for _ in range(100):
        right = torch.binomial(torch.full((10, 10), 6.0), torch.full((10, 10), 0.8), generator=generator)
        wrong += bool(denied(tallies(*[[(int(n), 6) for n in row] for row in right.tolist()]), 0.5, 10))
    assert wrong <= 1


def test_a_network_that_diverges_judges_nobody(task):
    sets = {client: task.gather(torch.arange(client * 40, client * 40 + 40)) for client in range(4)}
    sets[2] = replace(sets[2], inputs=sets[2].inputs * 1e30)
    protocol = next(iter(task.protocols.values()))
    found = judge(sets, "hard", task, "", protocol, RobustSettings(epochs=3), 0)
    assert [client for client, value in found.agreement.items() if value is None] == [0, 1, 3]
    assert not {0, 1, 3} & set(found.dropped)
