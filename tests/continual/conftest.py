"""Streams of tiny generated data, and strategies that learn them in a moment."""

from __future__ import annotations

import importlib.util
import warnings

import pytest
import torch
from attar.rng import derive, scoped
from attar.testing.toys import toy_task

if importlib.util.find_spec("avalanche") is None:
    pytest.skip("attar-continual is not installed", allow_module_level=True)

with warnings.catch_warnings():
    # What Avalanche loads, it loads with warnings of their own.
    warnings.simplefilter("ignore")
    import avalanche.training  # noqa: F401

from attar_continual import class_stream
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training import Naive
from avalanche.training.plugins import EvaluationPlugin

QUICK = {"steps": 3, "per_class": 8, "model": "mlp,width=8,depth=1"}


@pytest.fixture(scope="session")
def task():
    """Well separated classes, so that a network that learns anything learns all of it."""
    return toy_task((6,), classes=6, n=240, seed=3, modality="tensor")


@pytest.fixture(scope="session")
def stream(task):
    return class_stream(task, 3)


@pytest.fixture
def strategy(task):
    """Makes a strategy that learns with plugins."""

    def make(*plugins, model=None, epochs=1, batch=16, lr=0.1, seed=0):
        network = model or task.build("mlp,width=16,depth=1", derive(seed, "network"))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No loggers specified")
            return Naive(
                model=network,
                optimizer=torch.optim.SGD(network.parameters(), lr=lr),
                train_mb_size=batch,
                train_epochs=epochs,
                plugins=list(plugins),
                evaluator=EvaluationPlugin(accuracy_metrics(experience=True), loggers=[]),
            )

    return make


@pytest.fixture
def learn():
    """Lets a strategy learn experiences, each with draws of its own."""

    def run(strategy, experiences, seed=0):
        for experience in experiences:
            with scoped(derive(seed, "learn", experience.current_experience)):
                strategy.train(experience, eval_streams=[], num_workers=0)
        return strategy

    return run


@pytest.fixture
def quick():
    return dict(QUICK)


@pytest.fixture(autouse=True)
def one_thread_here():
    torch.set_num_threads(1)
