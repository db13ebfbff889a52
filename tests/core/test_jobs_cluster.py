"""Work on a cluster of two nodes, both on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from attar.contracts import Workplace
from attar.errors import UsageError
from attar.experts import Experts, ExpertSpec
from attar.jobs import TRIES, RayCluster, parse_workers, persistently, results
from attar.testing import toy_task

pytest.importorskip("ray")

NODES = """
import sys
from ray.cluster_utils import Cluster
one = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
nodes = {each.node_id: each for each in [cluster.add_node(**one)]}
print(cluster.address, flush=True)
for line in sys.stdin:
    word, _, name = line.strip().partition(" ")
    if word == "add":
        node = cluster.add_node(**one)
        nodes[node.node_id] = node
        print(node.node_id, flush=True)
    else:
        cluster.remove_node(nodes.pop(name), allow_graceful=False)
        print("removed", flush=True)
cluster.shutdown()
"""
"""A process that keeps a cluster of two nodes of one processor each, and does as it is told."""


class Nodes:
    """A cluster in a process of its own, which takes care of what Ray leaves behind."""

    def __init__(self, process):
        self.process = process
        self.address = self._read()

    def _read(self):
        return self.process.stdout.readline().strip()

    def tell(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self._read()


@pytest.fixture(scope="module")
def nodes():
    """Two nodes that nobody else can reach."""
    import ray
    from ray._private import ray_constants

    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        ray.shutdown()
        command = [sys.executable, "-W", "ignore", "-c", NODES]
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **pipe, text=True, env={**os.environ, **loopback}) as process:
            yield Nodes(process)
            ray.shutdown()
            process.stdin.close()
            process.wait(timeout=60)


@pytest.fixture
def crew(nodes):
    return RayCluster(address=nodes.address)


def node_of(seconds):
    import ray

    time.sleep(seconds)
    return ray.get_runtime_context().get_node_id()


def begin(folder, name):
    """Note that something is begun; return how often it was before."""
    path = Path(folder) / name
    with path.open("a") as file:
        file.write("x")
    return path.stat().st_size - 1


def work_on(item):
    kind, folder, name = item
    before = begin(folder, name)
    if kind == "dies" or (kind == "dies once" and not before):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "full once" and not before:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    if kind == "refused":
        raise UsageError(f"{name} does not fit")
    if kind == "bug":
        raise KeyError(name)
    if kind == "lacks":
        raise ModuleNotFoundError("No module named 'attar_smells'", name="attar_smells")
    return name


def outcomes(folder, kinds, crew):
    items = [(kind, str(folder), f"n{place}") for place, kind in enumerate(kinds)]
    return dict(persistently(work_on, items, crew))


@pytest.mark.slow
def test_both_nodes_work(crew):
    found = dict(results(node_of, [1.0, 1.0, 0.0], crew))
    assert sorted(found) == [0, 1, 2]
    assert len(set(found.values())) == 2


@pytest.mark.slow
def test_work_that_dies_is_done_again_or_given_up(crew, tmp_path, caplog):
    found = outcomes(tmp_path, ["fine", "dies once", "dies", "refused", "full once"], crew)
    assert [found[place].value for place in range(5)] == ["n0", "n1", None, None, "n4"]
    assert found[2].problem.startswith("its process was killed 3 times")
    assert found[3].problem == "n3 does not fit"
    begun = [(tmp_path / f"n{place}").stat().st_size for place in range(5)]
    assert begun == [1, 2, TRIES, 1, 2]
    assert "is done again" in caplog.text


@pytest.mark.slow
def test_a_bug_and_a_lack_are_told_without_the_report_of_ray(crew, tmp_path):
    with pytest.raises(KeyError) as bug:
        outcomes(tmp_path, ["bug"], crew)
    assert bug.value.args == ("n0",)
    with pytest.raises(UsageError, match="lacks the module 'attar_smells'; install the same packages"):
        outcomes(tmp_path, ["lacks"], crew)


@pytest.mark.slow
def test_what_cannot_be_sent_is_named(crew):
    with pytest.raises(UsageError, match="cannot be sent to worker processes"):
        list(results(str, [threading.Lock()], crew))


@pytest.mark.slow
def test_a_comparison_is_that_of_one_process(crew, cli, monkeypatch):
    command = ["compare", "tensor", "--data", "iris", "--methods", "dm,m3d", "--ipc", "1", "--seeds", 2]
    command += ["--steps", 3, "--model", "mlp,width=8", "--baselines", "random,herding"]
    command += ["--set", "protocol.epochs=2", "--set", "protocol.networks=2"]
    found = []
    for name, workers in (("one", 1), ("cluster", f"ray,address={crew.address}")):
        monkeypatch.setenv("ATTAR_CACHE", f"cache-{name}")
        found.append(cli(*command, "--out", name, "--workers", workers, "--json").json)
    rows = [{row["method"]: row["accuracy"] for row in each["rows"]} for each in found]
    assert set(rows[0]) == {"dm", "m3d", "random", "herding"}
    assert rows[0] == rows[1]
    assert found[1]["seconds"]["cpu"] > 0


@pytest.mark.slow
def test_experts_are_those_of_one_process(crew, tmp_path):
    task, spec = toy_task((4,), n=12, validation=0), ExpertSpec(count=3, epochs=2, batch=5)
    alone = Experts(task, "mlp,width=4", spec, tmp_path / "one").make()
    told = []
    there = Experts(task, "mlp,width=4", spec, tmp_path / "cluster")
    there.prepare(Workplace(tell=told.append, workers=crew))
    for one, other in zip(alone, there.required(), strict=True):
        assert all(map(torch.equal, one.snapshot(-1), other.snapshot(-1)))
    assert [note.partition(",")[0] for note in told] == [f"expert {n} of 3" for n in (1, 2, 3)]


class Waiting:
    """Waits until its node is taken away; done at once when it is begun again."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __call__(self, name):
        import ray

        node = ray.get_runtime_context().get_node_id()
        begin(self.folder, f"{name}-{node}")
        while not begin(self.folder, "tries"):
            time.sleep(600)
        return node


@pytest.mark.slow
def test_work_of_a_node_that_is_lost_is_done_by_another(nodes, crew, tmp_path):
    import ray

    list(results(node_of, [0.0], crew))
    # The other nodes are busy, so that the work begins where it will be lost.
    busy = [ray.remote(node_of).options(num_cpus=1).remote(10) for _ in range(2)]
    time.sleep(2)
    lost = nodes.tell("add")

    def take_away():
        while not (tmp_path / f"long-{lost}").exists():
            time.sleep(0.1)
        nodes.tell("remove", lost)

    thread = threading.Thread(target=take_away, daemon=True)
    thread.start()
    found = dict(results(Waiting(tmp_path), ["long"], crew))
    thread.join(timeout=60)
    ray.wait(busy, num_returns=2)
    assert found[0] != lost
    assert (tmp_path / "tries").stat().st_size == 2


def test_no_cluster_is_one_sentence(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(UsageError, match=r"no Ray cluster answers at '127.0.0.1:9'; start one with"):
        list(RayCluster(address="127.0.0.1:9").persist(str, [1]))


def test_ray_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs Ray, which is not installed; install attar-core\[ray\]"):
        list(RayCluster().persist(str, [1]))


def test_workers_are_numbers_or_a_cluster():
    assert parse_workers("3") == 3
    assert parse_workers("ray") == RayCluster()
    assert parse_workers("ray,address=head:6379,gpus=0.5") == RayCluster(address="head:6379", gpus=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "--workers 0 does not fit: give a number of processes, or 'ray'"),
        ("dask", "--workers dask does not fit"),
        ("ray,head:6379", "does not fit: give a number of processes, or 'ray' for a cluster, as in"),
        ("ray,adress=x", "unknown setting 'ray.adress': did you mean 'ray.address'?"),
        ("ray,gpus=-1", "ray.gpus = '-1' does not fit"),
    ],
)
def test_workers_that_make_no_sense_are_refused(text, said):
    with pytest.raises(UsageError) as refused:
        parse_workers(text)
    assert said in str(refused.value)
