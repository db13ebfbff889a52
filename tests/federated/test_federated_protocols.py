import json
import random
import shutil
import tomllib

import numpy as np
import pytest
import torch
from attar import load
from attar.cost import Cost
from attar.errors import DivergenceError, UsageError
from attar.testing.toys import toy_task
from attar.trained import load_model
from attar_federated import server
from attar_federated.around import Around, load_weights
from attar_federated.clients import train_locally
from attar_federated.grid import Bytes, Interrupted
from attar_federated.privacy import guarantee_of
from attar_federated.records import Ask, to_text
from attar_federated.results import NO_GUARANTEE, Round, reached
from attar_federated.server import ServerOptions, _weights, serve
from attar_federated.setting import Setting
from flwr.app import Array, ArrayRecord


@pytest.mark.parametrize("protocol", ["one-shot", "feddm", "fedavg", "fedprox"])
def test_every_protocol_learns_counts_bytes_and_says_what_it_did(protocol, recipe, run):
    found = run(recipe(protocol=protocol, rounds=1 if protocol == "one-shot" else 3)).result
    assert found.protocol == protocol
    assert found.accuracy.mean > 60
    assert len(found.rounds) == (1 if protocol == "one-shot" else 3)
    assert found.bytes == Bytes(
        up=sum(each.bytes.up for each in found.rounds), down=sum(each.bytes.down for each in found.rounds)
    )
    assert found.privacy.guarantee == NO_GUARANTEE
    assert found.dropped == ()
    assert json.loads(found.model_dump_json())["bytes"]["up"] > 0


def test_one_shot_sends_no_network_and_one_set(recipe, run, scripted, clients, shares):
    seen = []
    run(recipe(), lambda number, reply: seen.append(reply.content) or reply.content)
    assert all(set(content) == {"set", "about", "metrics"} for content in seen)


def test_bytes_are_those_of_the_records(recipe, run):
    up = []
    found = run(
        recipe(protocol="fedavg", rounds=1),
        lambda number, reply: (
            up.append(sum(r.count_bytes() for r in reply.content.values())) or reply.content
        ),
    ).result
    assert found.bytes.up == sum(up)


@pytest.mark.parametrize(("wire", "part"), [("float16", 0.75), ("uint8", 0.7)])
def test_narrow_wires_send_less_and_lose_little(wire, part, recipe, run):
    plain, narrow = run(recipe(size={"ipc": 20})).result, run(recipe(size={"ipc": 20}, wire=wire)).result
    assert narrow.bytes.up < part * plain.bytes.up
    assert abs(narrow.accuracy.mean - plain.accuracy.mean) < 10


def test_networks_cross_as_float16_and_average_in_float32(recipe, run):
    plain = run(recipe(protocol="fedavg", rounds=2)).result
    half = run(recipe(protocol="fedavg", rounds=2, wire="float16")).result
    assert half.bytes.up < plain.bytes.up
    assert abs(half.accuracy.mean - plain.accuracy.mean) < 5


def test_fedavg_of_one_client_is_that_client(recipe, run, task, shares):
    wanted = recipe(protocol="fedavg", rounds=1, clients=1)
    found = run(wanted)
    ask = Ask(
        round=1,
        recipe=wanted.recipe(),
        classes=task.classes,
        preprocessing=dict(task.preprocessing),
        model=task.architecture,
        local=wanted.local,
    )
    from attar.rng import derive

    start = task.build(task.architecture, derive(0, "global")).state_dict()
    state, examples = train_locally(shares("iid", 1)[0], ask, 0, start)
    assert examples == 160
    for name, value in found.network.model.state_dict().items():
        torch.testing.assert_close(value, state[name])


def test_averages_are_weighted_by_samples(recipe, run, task):
    """McMahan et al. 2017: w = Σ n_k / n · w_k."""
    tasks = [task.subset(torch.arange(120)), task.subset(torch.arange(120, 160))]
    sent = {}
    found = run(
        recipe(protocol="fedavg", rounds=1, clients=2, clip=1e6),
        lambda number, reply: sent.setdefault(number, reply.content),
        tasks=tasks,
    )
    for name, value in found.network.model.state_dict().items():
        one, two = (torch.from_numpy(sent[number]["arrays"][name].numpy()) for number in (0, 1))
        torch.testing.assert_close(value, 0.75 * one + 0.25 * two)


def test_no_protocol_touches_the_global_generators(recipe, run):
    random.seed(5)
    before = random.getstate(), torch.get_rng_state()
    for protocol in ("one-shot", "fedavg"):
        run(recipe(protocol=protocol, rounds=1))
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_the_proximal_term_is_half_mu_times_the_squared_distance(recipe, task, shares):
    """Li et al. 2020, equation 2: one step of SGD from w_t has no pull, the second has μ(w − w_t)."""
    share = shares("iid", 4)[0]
    share = share.subset(torch.arange(2))

    def trained(epochs, proximal):
        wanted = recipe(local={"epochs": epochs, "batch": 2, "lr": 0.1, "momentum": 0.0, "mu": 0.5})
        ask = Ask(
            round=1,
            recipe=wanted.recipe(),
            classes=task.classes,
            preprocessing=dict(task.preprocessing),
            model="linear",
            local=wanted.local,
        )
        return train_locally(share, ask, 0, start, proximal=proximal)[0]

    start = {
        name: value.clone() for name, value in task.build("linear", torch.Generator()).state_dict().items()
    }
    once = trained(1, False)
    twice = trained(2, True)
    # By hand: the gradient of the loss on both samples at `once`, and the pull back to the start.
    model = task.build("linear", torch.Generator())
    load_weights(model, once)
    batch = share.gather(torch.arange(2))
    torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels).backward()
    for name, parameter in model.named_parameters():
        wanted = once[name] - 0.1 * (parameter.grad + 0.5 * (once[name] - start[name]))
        torch.testing.assert_close(twice[name], wanted)


def test_networks_are_as_far_from_the_global_one_as_the_radius(task):
    from attar.contracts import Clock, Context

    model = task.build("", torch.Generator().manual_seed(1))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    around = Around(model=task.architecture, weights=weights, radius=2.0, reuse=2)
    state = around.init(Context(task, 0, Clock(0, 4)))
    found = [around.next(state, Context(task, 0, Clock(step, 4)), None) for step in range(4)]
    assert [each.version for each in found] == [0, 0, 1, 1]
    apart = [
        torch.cat([(mine - weights[name]).flatten() for name, mine in each.model.named_parameters()])
        for each in found
    ]
    assert all(abs(float(each.norm()) - 2.0) < 1e-4 for each in apart)
    assert torch.equal(apart[0], apart[1])
    assert not torch.allclose(apart[0], apart[2])


def test_feddm_matches_around_what_the_server_sent_and_goes_on_from_it(recipe, run):
    asked = []
    found = run(
        recipe(protocol="feddm", rounds=2), lambda number, reply: asked.append(reply) or reply.content
    ).result
    assert found.bytes.down > 2 * 4 * found.parameters
    assert [each.round for each in found.rounds] == [1, 2]


@pytest.mark.parametrize("name", ["mtt", "kip"])
def test_methods_that_match_on_nothing_around_a_network_are_refused_for_feddm(name, recipe, run):
    with pytest.raises(UsageError, match="cannot match around the global network"):
        run(recipe(protocol="feddm", distiller=name, objective={"steps": 1}))


def test_selectors_are_refused_since_they_would_send_real_samples(recipe, run):
    with pytest.raises(UsageError, match="selects real samples"):
        run(recipe(distiller="random", objective={}))


@pytest.mark.parametrize("name", ["dc", "frepo", "ncfm"])
@pytest.mark.parametrize("protocol", ["one-shot", "feddm"])
def test_other_methods_distill_at_the_clients(name, protocol, recipe, run):
    found = run(recipe(protocol=protocol, distiller=name, rounds=1, objective={"steps": 2}))
    assert found.union.manifest.method.name == name


def test_parameterizations_cross_the_wire(task, recipe, run):
    images = toy_task((1, 8, 8), classes=3, n=60, modality="tensor")
    from attar_federated.server import ServerOptions, serve

    wanted = recipe(
        clients=2,
        objective={"steps": 2, "parameterization": "multi-formation"},
        size={"ipc": 1},
        wire="uint8",
    )
    from attar_federated.flower import client_app
    from attar_federated.grid import InProcessGrid
    from attar_federated.partitions import partition

    tasks = partition(images, "iid", 2, 0)
    grid = InProcessGrid(client_app(lambda node, run: (tasks[node["partition-id"]], 0)), 2)
    found = serve(grid, wanted, images, ServerOptions(wait=0.1)).result
    assert found.samples == 2 * 3 * 4


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([0, 4, 8], id="one class"),
        pytest.param([0, 1, 2], id="three samples"),
        pytest.param([*range(0, 160, 4), *range(1, 160, 4)], id="missing classes"),
    ],
)
@pytest.mark.parametrize("protocol", ["one-shot", "fedavg"])
def test_a_client_may_have_little(rows, protocol, recipe, run, task):
    rest = [row for row in range(160) if row not in rows]
    tasks = [task.subset(torch.tensor(rows)), task.subset(torch.tensor(rest))]
    found = run(recipe(protocol=protocol, clients=2, rounds=1), tasks=tasks).result
    assert found.rounds[0].clients == 2


def test_clients_that_fail_or_stay_silent_are_survived(recipe, run):
    def answer(number, reply):
        return {0: RuntimeError("out of disk"), 1: None}.get(number, reply.content)

    found = run(recipe(), answer).result
    assert found.rounds[0].clients == 2
    assert [(one.client, one.reason) for one in found.dropped] == [(1, "it failed ('out of disk')")]


def test_without_any_client_that_can_be_used_the_run_says_so(recipe, run):
    with pytest.raises(UsageError, match=r"no client sent a set that can be used .*out of disk"):
        run(recipe(), lambda number, reply: RuntimeError("out of disk"))
    with pytest.raises(UsageError, match="no client sent a network that can be used"):
        run(recipe(protocol="fedavg"), lambda number, reply: RuntimeError("out of disk"))


class Killed(Exception):
    pass


@pytest.mark.parametrize("protocol", ["feddm", "fedavg", "fedprox"])
def test_a_run_that_is_killed_between_rounds_ends_as_if_it_had_not_been(protocol, recipe, run, tmp_path):
    wanted = recipe(protocol=protocol, rounds=3)

    def kill(each):
        if each.round == 2:
            raise Killed

    with pytest.raises(Killed):
        run(wanted, out=tmp_path / "run", note=kill)
    again = run(wanted, out=tmp_path / "run", resume=True)
    whole = run(wanted)
    assert [each.accuracy for each in again.result.rounds] == [each.accuracy for each in whole.result.rounds]
    for name, value in whole.network.model.state_dict().items():
        assert torch.equal(value, again.network.model.state_dict()[name])


def timeless(result):
    """A result without what clocks say."""
    said = result.model_dump(
        mode="json", exclude={"seconds": True, "rounds": {"__all__": {"seconds", "cpu"}}}
    )
    return json.dumps(said)


@pytest.mark.parametrize("protocol", ["feddm", "fedavg"])
def test_a_run_that_was_resumed_has_a_line_a_round_and_the_same_result(protocol, recipe, run, tmp_path):
    wanted, place = recipe(protocol=protocol, rounds=3), tmp_path / "run"

    def kill(each):
        if each.round == 2:
            raise Killed

    for _ in range(2):
        # The second time, the round that was killed before it was saved is made again.
        with pytest.raises(Killed):
            run(wanted, out=place, note=kill, resume=True)
    # As of a process that was killed while it wrote.
    with open(place / "log.jsonl", "a") as file:
        file.write('{"round": 2}\n{"rou')
    again = run(wanted, out=place, resume=True)
    lines = [json.loads(line)["round"] for line in (place / "log.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3]
    assert timeless(again.result) == timeless(run(wanted).result)


def test_what_is_counted_does_not_depend_on_cpu_time(recipe, run, monkeypatch):
    from attar_federated import clients

    def counted(cpu):
        class Clock:
            def read(self):
                return Cost(cpu=cpu)

        monkeypatch.setattr(clients, "Meter", Clock)
        return run(recipe()).result

    short, long = counted(0.0), counted(123456.789)
    assert short.rounds[0].cpu == 0
    assert long.rounds[0].cpu == pytest.approx(4 * 123456.79, abs=0.1)
    assert timeless(short) == timeless(long)


@pytest.mark.parametrize("protocol", ["one-shot", "fedavg"])
def test_data_of_ten_thousand_features_are_described(protocol, recipe, clients):
    wide = toy_task((10_000,), classes=2, n=8, modality="tensor")
    wanted = recipe(protocol=protocol, clients=1, rounds=1, size={"ipc": 1}, objective={"steps": 1})
    assert len(to_text(Setting(wanted, wide).ask(1))) > 2**16
    found = serve(clients([wide]), wanted, wide, ServerOptions(wait=0.1)).result
    assert found.rounds[0].clients == 1


def test_whole_numbers_of_a_network_survive_an_average(task):
    model = torch.nn.Module()
    model.register_buffer("table", torch.tensor([0, 5, 7]))
    average = sum(np.array([0, 5, 7]) * share for share in (1 / 3, 1 / 3, 1 / 3)) - 1e-9
    assert _weights(ArrayRecord({"table": Array(average)}), model)["table"].tolist() == [0, 5, 7]


@pytest.mark.parametrize("protocol", ["one-shot", "fedavg"])
def test_a_run_that_is_complete_is_not_made_again(protocol, recipe, run, tmp_path):
    wanted = recipe(protocol=protocol, rounds=1)
    first = run(wanted, out=tmp_path / "run")
    again = run(wanted, lambda number, reply: RuntimeError("asked"), out=tmp_path / "run", resume=True)
    assert again.result == first.result
    assert (again.union is None) == (protocol == "fedavg")
    longer = (
        run(recipe(protocol="fedavg", rounds=2), out=tmp_path / "run", resume=True)
        if protocol == "fedavg"
        else None
    )
    assert longer is None or len(longer.result.rounds) == 2


def test_a_run_whose_union_was_not_written_yet_is_made_again(recipe, run, tmp_path):
    run(recipe(), out=tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    shutil.rmtree(tmp_path / "run" / "artifact")
    assert len(run(recipe(), out=tmp_path / "run", resume=True).union.decode()) == 48


def test_a_run_that_is_asked_to_stop_goes_on_later(recipe, run, tmp_path):
    wanted, seen = recipe(protocol="fedavg", rounds=3), []
    with pytest.raises(Interrupted):
        run(wanted, out=tmp_path / "run", note=seen.append, stop=lambda: len(seen) == 1)
    again = run(wanted, out=tmp_path / "run", resume=True)
    assert [each.round for each in seen] == [1]
    assert again.result.rounds[0] == seen[0]
    assert len(again.result.rounds) == 3


def test_waiting_for_replies_ends_when_asked_to_stop(recipe, run):
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Interrupted):
        run(recipe(), lambda number, reply: None if number == 1 else reply.content, stop=stop)


def test_another_recipe_cannot_go_on_with_a_run(recipe, run, tmp_path):
    run(recipe(protocol="fedavg", rounds=1), out=tmp_path / "run")
    with pytest.raises(UsageError, match="belongs to another recipe"):
        run(recipe(protocol="fedprox", rounds=2), out=tmp_path / "run", resume=True)


def test_network_and_union_are_ordinary_artifacts(recipe, run, tmp_path):
    found = run(recipe(), out=tmp_path / "run")
    union = load(tmp_path / "run")
    assert len(union.decode()) == found.result.samples
    assert sum(union.manifest.data.counts) == 160
    assert guarantee_of(union.manifest).guarantee == NO_GUARANTEE
    network = load_model(tmp_path / "run" / "model.safetensors")
    assert network.record.set == union.manifest.sha256
    assert network.predict(torch.zeros(2, 6)).shape == (2, 4)


def test_a_network_that_was_averaged_is_of_no_set(recipe, run, tmp_path):
    run(recipe(protocol="fedavg", rounds=1), out=tmp_path / "run")
    assert load_model(tmp_path / "run" / "model.safetensors").record.set == ""


def test_a_run_names_its_data_as_the_task_does_and_by_no_path(recipe, run, tmp_path, task, caplog):
    found = run(recipe(data={"modality": "tensor", "name": "digits", "options": {}}), out=tmp_path / "run")
    written = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert written["data"]["fingerprint"] == task.fingerprint
    assert written["data"]["options"] == dict(task.options)
    assert found.union.manifest.method.settings["federated"]["data"]["options"] == dict(task.options)
    assert caplog.text == ""


def test_the_same_run_ends_in_the_same_bytes(recipe, run, tmp_path):
    one, two = run(recipe()), run(recipe())
    assert one.union.manifest.sha256 == two.union.manifest.sha256
    assert one.result.accuracy == two.result.accuracy


def test_several_networks_of_one_union_give_a_spread(recipe, run):
    assert run(recipe(networks=3)).result.accuracy.n == 3


def test_rounds_end_once_the_target_is_held(recipe, run):
    found = run(recipe(protocol="fedavg", rounds=10, target=1.0, hold=2)).result
    assert len(found.rounds) == 2


def test_a_target_is_never_judged_by_the_test(recipe, clients):
    blind = toy_task((6,), classes=4, n=40, modality="tensor", validation=0)
    with pytest.raises(UsageError, match="a target is judged on held-out data"):
        serve(clients([blind]), recipe(protocol="fedavg", clients=1, target=50.0), blind)


def _rounds(*accuracies):
    return tuple(
        Round(round=i + 1, accuracy=value, bytes=Bytes(up=10, down=1), seconds=1.0)
        for i, value in enumerate(accuracies)
    )


@pytest.mark.parametrize(
    ("accuracies", "wanted"),
    [
        ((80, 91, 92, 93), (2, Bytes(up=20, down=2))),
        ((91, 80, 91, 92, 93), (3, Bytes(up=30, down=3))),
        ((91, 80), None),
        ((95,), (1, Bytes(up=10, down=1))),
        ((80, 85), None),
    ],
)
def test_an_accuracy_is_reached_where_it_is_first_held(accuracies, wanted):
    assert reached(_rounds(*accuracies), 90, 3) == wanted


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"protocol": "fedavg", "wire": "uint8"}, "networks are not sent as uint8"),
        ({"protocol": "fedavg", "robust": {}}, "robust is for protocols that send sets"),
        ({"protocol": "feddm", "privacy": {}}, "privacy is for the protocol one-shot"),
        ({"distiller": "dc", "privacy": {}}, "privacy is for the distiller dm"),
        ({"partition": "round-robin"}, "unknown partition"),
        ({"partition": "dirichlet,alpha=-1"}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(values, told, recipe):
    with pytest.raises(ValueError, match=told):
        recipe(**values)


def test_a_network_beside_others_that_diverges_is_not_counted(recipe, run, monkeypatch):
    def learned(task, union, arch, protocol, seed, *path, start=None):
        if path[-1] == 1 and len(path) == 2:
            raise DivergenceError("training on the union diverged")
        return known(task, union, arch, protocol, seed, *path, start=start)

    known = server.learned
    monkeypatch.setattr(server, "learned", learned)
    assert run(recipe(networks=3)).result.accuracy.n == 2


def test_a_result_says_what_answering_one_class_would_reach(recipe, run):
    whole = toy_task((6,), classes=4, n=160, seed=3, modality="tensor")
    labels = torch.cat([batch.labels for batch in whole.epoch("test", 64, torch.Generator())])
    wanted = 100 * float(torch.bincount(labels).max()) / len(labels)
    assert run(recipe(protocol="fedavg", rounds=1)).result.chance == pytest.approx(wanted, abs=1e-3)
