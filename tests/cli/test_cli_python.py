"""The command line and Python: the same names and defaults, so that the same words give the same set."""

from __future__ import annotations

import inspect
from importlib import import_module

import attar
import pytest
from attar.cli import comparing, sharing

main = import_module("attar.cli.main")

ALWAYS = {"modality", "modality_option", "quiet", "verbose", "as_json", "dry_run"}
"""How a command is carried out and answers; in Python that is the caller's affair, but for ``show``."""
OF_DATA = {"data", "root", "download", "cache"}
"""What :func:`attar.task` takes."""
PYTHON = {"task", "registry", "show", "callbacks"}
"""What cannot be written on a command line, or is said there by ``--quiet``."""

CASES = {
    # Command, function, names of the command alone, names of Python alone, and what is called otherwise.
    "distill": (
        main.distill,
        attar.distill,
        OF_DATA | {"group_pattern", "threads"},
        {"parameterization"},
        {"changes": "settings"},
    ),
    "evaluate": (
        main.evaluate,
        attar.evaluate,
        OF_DATA | {"changes", "per_class"},
        {"cache"},
        # One of several; and a run is what a set is saved as.
        {"what": "sets", "architecture": "architectures"},
    ),
    "compare": (
        comparing.compare,
        attar.compare,
        OF_DATA | {"group_pattern", "resume"},
        {"cache", "dtype"},
        {"changes": "settings"},
    ),
    "train": (main.train, attar.train, {"out", "changes", "threads", "force"}, set(), {"run": "artifact"}),
    "export": (
        sharing.export,
        attar.export,
        # These go to the evaluation behind --accuracy.
        OF_DATA | {"accuracy", "protocol", "model", "seed", "changes", "workers"},
        set(),
        {"run": "artifact"},
    ),
    "push": (sharing.push, attar.push, set(), set(), {"run": "artifact"}),
}


def plain(value):
    """Return a default as the command line writes it; what is left out is None there."""
    if value is inspect.Parameter.empty:
        return value
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return value or None


@pytest.mark.parametrize("name", CASES)
def test_a_command_and_its_function_have_the_same_names_and_defaults(name):
    command, function, cli_only, python_only, renamed = CASES[name]
    theirs = inspect.signature(function).parameters
    ours = {
        renamed.get(key, key): value.default
        for key, value in inspect.signature(command).parameters.items()
        if key not in ALWAYS | cli_only
    }
    assert set(ours) == set(theirs) - PYTHON - python_only
    for key, default in ours.items():
        if (
            theirs[key].kind is not inspect.Parameter.VAR_KEYWORD
            and theirs[key].default is not inspect.Parameter.empty
        ):
            assert plain(default) == plain(theirs[key].default), key


def test_data_are_named_alike():
    ours = {name: value.default for name, value in inspect.signature(main.distill).parameters.items()}
    theirs = inspect.signature(attar.task).parameters
    for name in OF_DATA - {"data"}:
        assert ours[name] == theirs[name].default


@pytest.mark.parametrize("name", ["evaluate", "export", "push", "train"])
def test_no_option_hides_among_settings(name):
    kinds = {each.kind for each in inspect.signature(getattr(attar, name)).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds


def test_two_sizes_are_refused():
    with pytest.raises(attar.UsageError, match="give only one of ipc, size, ratio and budget"):
        attar.distill(attar.task("tensor", data="iris"), method="random", ipc=1, size=3)


def test_the_same_words_give_the_same_set(cli):
    words = {"size": 6, "ipc_policy": "cap", "balance": "proportional", "seed": 3}
    options = [part for name, value in words.items() for part in (f"--{name.replace('_', '-')}", value)]
    cli("distill", "tensor", "--data", "iris", "--method", "random", *options, "--out", "run")
    made = attar.distill(attar.task("tensor", data="iris"), method="random", **words)
    assert attar.load("run").manifest.sha256 == made.manifest.sha256


def test_a_budget_is_a_number_or_a_text():
    task = attar.task("tensor", data="iris")
    one, other = (attar.distill(task, method="random", budget=size) for size in (1000, "1KB"))
    assert one.manifest.sha256 == other.manifest.sha256
    assert one.manifest.size.bytes <= 1000
