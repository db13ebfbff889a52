"""Several processes that divide the steps of a run make what one process makes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import attar
import pytest
import torch
from attar.contracts import SetSpec
from attar.ranks import ALONE, joined
from attar.registry import Registry
from attar.rng import derive
from attar.runner import RunOptions, run
from attar.tensor import TensorTask
from safetensors.torch import load_file, save_file

STEPS = 20
THREADS = Path("/proc/self/task")
# By classes: a sum over them. By models: not, so that each process takes a model.
CASES = {"dm": 1, "dsa": 1, "m3d": 1, "ncfm": 2, "frepo": 2}
SETTINGS = {"dsa": {"outer": 3, "inner": 2, "per_class": 16}, "frepo": {"pool": 2, "per_class": 16}}


@dataclass(frozen=True)
class Double(TensorTask):
    """Data and networks in float64, in which sums in another order differ little."""

    def view(self, rows, split="train"):
        batch = super().view(rows, split)
        return batch.with_inputs(batch.inputs.double())

    def build(self, arch, gen):
        return super().build(arch, gen).double()


def distilled(name, ranks):
    """Return the values of a set after some steps in float64."""
    task = attar.task("tensor", data="digits")
    task = Double(**{each: getattr(task, each) for each in task.__dataclass_fields__})
    plugin = Registry().get("objectives", name)
    settings = plugin.Settings(
        model="convnet,width=8,depth=2", subjects=CASES[name], **SETTINGS.get(name, {})
    )
    objective = plugin.build(settings)
    init = task.draw(2, derive(0, "init"))
    syn = task.synthesize(init, SetSpec(learned=True), derive(0, "set"))
    outcome = run(
        task,
        objective,
        syn,
        steps=STEPS,
        optim=plugin.optimizers(settings),
        seed=0,
        subjects=settings.subjects,
        options=RunOptions(ranks=ranks),
    )
    return outcome.syn.decode().inputs.detach(), outcome.loss


def launched(script, size, folder, *arguments, meanwhile=lambda running: None):
    """Run a script in several processes as torchrun does, and return their results."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    running = []
    for rank in range(size):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        running.append(
            subprocess.Popen(
                [sys.executable, *script, *map(str, arguments)],
                env={**os.environ, **common, **own},
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    meanwhile(running)
    return [(each.communicate(timeout=300), each.returncode) for each in running]


def main(name, folder):
    """Distill as one of several processes and write what came of it."""
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        values, loss = distilled(name, ranks)
        save_file({"values": values, "loss": torch.tensor(loss)}, Path(folder) / f"{ranks.rank}.safetensors")
    if THREADS.is_dir():
        print(*(thread.read_text().strip() for thread in THREADS.glob("*/comm")))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_make_the_set_of_one(name, tmp_path):
    found = launched([str(Path(__file__))], 2, tmp_path, name, tmp_path)
    assert [code for _, code in found] == [0, 0], found
    alone, loss = distilled(name, ALONE)
    parts = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    assert torch.equal(parts[0]["values"], parts[1]["values"])
    assert float((parts[0]["values"] - alone).abs().max()) < 1e-9
    assert float(parts[0]["loss"]) == pytest.approx(loss, rel=1e-6)
    start = attar.task("tensor", data="digits").draw(2, derive(0, "init")).inputs
    assert float((alone - start).abs().max()) > 1e-3


@pytest.mark.skipif(not THREADS.is_dir(), reason="this system does not list the threads of a process")
def test_no_thread_of_the_group_outlives_it(tmp_path):
    """One that is there when the interpreter ends may abort the process."""
    found = launched([str(Path(__file__))], 2, tmp_path, "dm", tmp_path)
    assert [("python" in out, "gloo" in out) for (out, _), _ in found] == [(True, False)] * 2, found


DISTILL = ("-m", "attar", "distill", "tensor", "--data", "digits", "--method", "dm", "--ipc", "1")
SMALL = ("--set", "model=mlp,width=8", "--set", "per_class=16", "--json")


def test_the_command_is_divided_and_the_first_process_alone_writes_and_tells(tmp_path):
    options = (*SMALL, "--set", "steps=6", "--out", tmp_path / "run")
    found = launched(DISTILL, 2, tmp_path, *options)
    assert [code for _, code in found] == [0, 0], found
    (first, _), (second, _) = found
    assert json.loads(first[0])["samples"] == 10
    assert second[0] == ""
    made = attar.load(tmp_path / "run").decode().inputs
    task = attar.task("tensor", data="digits")
    alone = attar.distill(task, method="dm", ipc=1, model="mlp,width=8", per_class=16, steps=6)
    assert float((made - alone.decode().inputs).abs().max()) < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    # A complete run is told of again, and begun anew by nobody.
    again = launched(DISTILL, 2, tmp_path, *options, "--resume")
    assert [code for _, code in again] == [0, 0], again


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be interrupted alone there")
def test_an_interrupted_run_goes_on_in_several_processes(tmp_path):
    options = (*SMALL, "--set", "steps=400", "--set", "run.checkpoint_every=20", "--out", tmp_path / "run")

    def interrupt(running):
        while not list((tmp_path / "run").glob("checkpoint/*")):
            time.sleep(0.05)
        for each in running:
            each.send_signal(signal.SIGINT)

    stopped = launched(DISTILL, 2, tmp_path, *options, meanwhile=interrupt)
    assert [code for _, code in stopped] == [130, 130], stopped
    done = launched(DISTILL, 2, tmp_path, *options, "--resume")
    assert [code for _, code in done] == [0, 0], done
    whole = launched(DISTILL, 2, tmp_path, *options[:-1], tmp_path / "whole")
    assert [code for _, code in whole] == [0, 0], whole
    assert torch.equal(
        attar.load(tmp_path / "run").decode().inputs, attar.load(tmp_path / "whole").decode().inputs
    )


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("frepo", (), "2 processes are too many for a step of 1 parts; start 1 at most, or set"),
        ("dm", ("--set", "restarts=2"), "several runs go in one process each"),
    ],
)
def test_what_cannot_be_divided_is_refused(method, options, said, tmp_path):
    command = [method if each == "dm" else each for each in DISTILL]
    found = launched(command, 2, tmp_path, *SMALL, *options, "--set", "steps=3", "--out", tmp_path / "run")
    assert 2 in [code for _, code in found]
    assert said in found[0][0][1] + found[1][0][1]


if __name__ == "__main__":
    main(*sys.argv[1:])
