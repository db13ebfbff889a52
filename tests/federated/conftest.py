"""Clients on tiny generated data, honest replies, and a grid that hands out what a test says."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
import torch
from attar.recipe import DataRecipe, SizeRecipe
from attar.testing.toys import toy_task

flwr = pytest.importorskip("flwr", reason="attar-federated is not installed")

from attar_federated.flower import client_app  # noqa: E402
from attar_federated.grid import InProcessGrid  # noqa: E402
from attar_federated.partitions import partition  # noqa: E402
from attar_federated.server import ServerOptions, serve  # noqa: E402
from attar_federated.settings import FederatedRecipe  # noqa: E402
from flwr.app import Error, Message, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import Grid  # noqa: E402

CLIENTS = 4


@pytest.fixture(scope="session")
def task():
    """Well separated classes, so that a network that learns anything learns all of it."""
    return toy_task((6,), classes=4, n=160, seed=3, modality="tensor")


@pytest.fixture
def recipe():
    """Makes a run on the toy data."""

    def make(**values):
        settings = {
            "data": DataRecipe(modality="tensor", name="digits"),
            "clients": CLIENTS,
            "size": SizeRecipe(ipc=3, policy="cap"),
            "objective": {"steps": 10, "per_class": 16, "augment": False},
            "training": {"epochs": 30, "plateau": None, "augment": False, "optimizer.lr": 0.05},
            "local": {"lr": 0.05, "batch": 16, "epochs": 3},
        }
        return FederatedRecipe.model_validate({**settings, **values})

    return make


@pytest.fixture
def shares(task):
    def make(text="iid", clients=CLIENTS, seed=0):
        return partition(task, text, clients, seed)

    return make


@pytest.fixture
def clients():
    """Makes the grid of clients that each have one of some tasks."""

    def make(tasks):
        app = client_app(lambda node, run: (tasks[int(node["partition-id"])], int(node["partition-id"])))
        return InProcessGrid(app, len(tasks))

    return make


@dataclass
class Scripted(Grid):
    """A grid whose clients answer what `answer` makes of what they would have sent.

    Attributes:
        grid: The clients.
        answer: Called with the number of the client, from 0, and its reply; returns the content
            to send instead, an exception to fail with, or None to stay silent.
    """

    grid: Grid
    answer: object
    asked: list = field(default_factory=list)
    names: dict = field(default_factory=dict)
    count: object = field(default_factory=itertools.count)

    def set_run(self, run):
        self.grid.set_run(run)

    @property
    def run(self):
        return self.grid.run

    def get_node_ids(self):
        return self.grid.get_node_ids()

    def create_message(self, *args, **kwargs):
        return self.grid.create_message(*args, **kwargs)

    def push_messages(self, messages):
        sent = list(messages)
        self.asked += sent
        names = list(self.grid.push_messages(sent))
        self.names.update(zip(names, sent, strict=True))
        return names

    def pull_messages(self, message_ids):
        found = []
        for reply in self.grid.pull_messages(message_ids):
            asked = self.names[reply.metadata.reply_to_message_id]
            said = self.answer(asked.metadata.dst_node_id - 1, reply)
            if isinstance(said, Exception):
                found.append(Message(Error(code=2, reason=str(said)), reply_to=asked))
            elif isinstance(said, RecordDict):
                found.append(Message(content=said, reply_to=asked))
            elif said is not None:
                found += said
        return found

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(self.push_messages(messages))


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture
def run(task, clients, shares):
    """Carries out a run, with the replies of some clients changed."""

    def carry_out(recipe, answer=None, tasks=None, **options):
        grid = clients(tasks or shares(recipe.partition, recipe.clients))
        if answer is not None:
            grid = Scripted(grid, answer)
        return serve(grid, recipe, task, ServerOptions(wait=0.1, timeout=0.3, **options))

    return carry_out


@pytest.fixture(scope="session")
def kept():
    """What honest clients sent, by what they were asked."""
    return {}


@pytest.fixture
def replayed(kept, run, task):
    """Carries out a run whose clients send again what honest ones sent once, but for what a test changes."""

    def sent_once(wanted):
        key = wanted.to_toml()
        if key not in kept:
            kept[key] = {}
            run(wanted, lambda number, reply: kept[key].setdefault(number, reply.content))
        return kept[key]

    def carry_out(wanted, answer=lambda number, reply: reply.content):
        contents = sent_once(wanted)
        app = ClientApp()

        def handle(message, context):
            number = context.node_config["partition-id"]
            return Message(content=RecordDict(dict(contents[number])), reply_to=message)

        app.train("distill")(handle)
        app.train()(handle)
        grid = Scripted(InProcessGrid(app, wanted.clients), answer)
        return serve(grid, wanted, task, ServerOptions(wait=0.1, timeout=0.3))

    return carry_out


@pytest.fixture(autouse=True)
def one_thread_here():
    torch.set_num_threads(1)
