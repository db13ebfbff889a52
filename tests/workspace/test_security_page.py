"""Each statement of the security page is held by a test, which this table names."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import attar
import pytest
from attar.protocols import changed, protocol

ROOT = Path(__file__).parents[2]

CORE, CLI, GRAPH, IMAGE, FED = "tests/core/", "tests/cli/", "tests/graph/", "tests/image/", "tests/federated/"
HERE = "tests/workspace/test_security_page.py::"
ADVICE = "advice"

STATEMENTS = {
    "An artifact, a recipe and a data set may come from anybody": ADVICE,
    "**Artifacts** are safetensors, JSON": CORE
    + "test_artifact.py::test_every_wrong_artifact_has_its_sentence",
    "The manifest is validated first": CLI
    + "test_cli_bad_artifacts.py::test_a_manifest_that_does_not_fit_is_refused",
    "A link that leads out": CLI + "test_cli_bad_artifacts.py::test_a_link_that_leads_outside_is_refused",
    "**Recipes** name plugins": CORE + "test_recipe.py::test_resolve_refuses_what_does_not_fit",
    "They contain no paths": CORE + "test_recipe.py::test_data_are_never_named_by_path",
    "A model that is somebody's code": CLI + "test_cli_recipes.py::test_a_wrong_key_is_named",
    "**Checkpoints** are safetensors and JSON": CORE + "test_checkpoint.py::",
    "One that is damaged, or that is not of the form": (
        CORE + "test_saved.py::test_a_state_of_no_such_run_is_passed_over_for_the_one_before"
    ),
    "Values of the right form are believed": ADVICE,
    "**What a federated client sends** is checked": (
        FED + "test_federated_hostile.py::test_a_hostile_client_changes_nothing_but_its_own_share"
    ),
    "What fails is left out": FED + "test_federated_mutations.py::",
    "Updates of networks are shortened": FED
    + "test_federated_hostile.py::test_updates_longer_than_a_multiple_of_the_median_keep_their_direction",
    "**Arrays** (`.npz`) are read": CLI
    + "test_cli_bad_data.py::test_pickled_objects_are_refused_and_not_run",
    "What an archive or a Parquet": CORE
    + "test_limits.py::test_what_unpacks_to_more_than_256_times_its_size_is_refused",
    "Tables have at most": CORE + "test_limits.py::test_columns_and_lines_have_a_limit",
    "**Images** are decoded by Pillow": (
        IMAGE + "test_image_sources.py::test_postscript_is_no_image_whatever_it_is_called"
    ),
    "One that announces more than": IMAGE + "test_image_sources.py::",
    "Parquet and Arrow files": IMAGE + "test_image_sources.py::test_a_saved_data_set_is_read",
    "**A saved Hugging Face data set** names": (
        IMAGE + "test_image_sources.py::test_a_saved_data_set_reads_no_file_outside_of_itself"
    ),
    "Links that you put into": IMAGE + "test_image_sources.py::",
    "**Names and texts** out of": CORE + "test_plain.py::test_every_line_passes",
    "**The network** is used only": HERE + "test_nothing_is_looked_up_or_connected_to",
    "Flower's telemetry": FED + "test_federated_deployment.py::",
    "Code runs where you name it": CORE + "test_architectures_own.py::",
    "Attar writes no pickle": HERE + "test_no_code_of_ours_reads_or_writes_pickle",
    "The exceptions:": ADVICE,
    "torchvision's archives of CIFAR-10": ADVICE,
    "what joblib sends": ADVICE,
    "Nothing of it comes from a file": ADVICE,
    "Planetoid's raw files": GRAPH + "test_graph_unpickling.py::test_anything_else_is_refused",
    "In simulations of federated": ADVICE,
    "Avalanche's own checkpoints": ADVICE,
    "What Attar adds to them": "tests/continual/test_continual_plugins.py::",
    "PyTorch Geometric's `processed": HERE + "test_no_code_of_ours_reads_or_writes_pickle",
    "Public graphs are fetched": ADVICE,
    "A run writes below": CORE + "test_runs.py::test_a_run_leaves_recipe_log_checkpoints_and_artifact",
    "Every folder that a command writes": CORE
    + "test_owned.py::test_files_written_into_a_folder_join_its_list",
    "`--force`, `--resume` and everything else": (
        CORE + "test_owned.py::test_a_file_that_was_changed_is_the_user_s"
    ),
    "Files that grow": CORE + "test_owned.py::test_what_a_logger_writes_is_listed",
    "The list is believed": ADVICE,
    "Where `--out` names": "tests/cli/test_cli_train.py::test_a_network_is_replaced_only_when_asked",
    "One process at a time": CORE + "test_owned.py::test_two_processes_do_not_share_a_folder",
    "`attar cache clear` deletes": CORE + "test_cached.py::test_clearing_leaves_files_of_the_user_s",
    "A bug's traceback": ADVICE,
    "Distilled samples can reveal": ADVICE,
    "No anonymity is implied": ADVICE,
    "Federated learning has an option": FED + "test_federated_privacy.py::test_noise_is_as_large_as_was_said",
    "Without it, a result says": FED
    + "test_federated_privacy.py::test_without_privacy_nothing_is_guaranteed",
    "The owner of a client": (
        FED + "test_federated_privacy.py::test_a_node_keeps_its_floor_of_noise_whatever_is_asked"
    ),
}
"""The beginning of each statement, and the test, or the file of tests, that holds it."""


def statements():
    """Return the sentences of the page's sections on what is so, in their order."""
    text = (ROOT / "SECURITY.md").read_text("utf-8").partition("## Reporting")[0]
    found = []
    for block in re.split(r"\n\n|\n- |\n#.*", text.partition("\n")[2]):
        flat = " ".join(block.removeprefix("- ").split())
        found += [part.strip() for part in re.split(r"(?<=[.])\s+(?=[A-Z`*])", flat) if part.strip()]
    return [part for part in found if not part.startswith("#")]


@pytest.mark.parametrize("statement", statements())
def test_every_statement_is_in_the_table(statement):
    assert [start for start in STATEMENTS if statement.startswith(start)] != []


@pytest.mark.parametrize(("start", "test"), STATEMENTS.items())
def test_every_row_is_a_statement_with_a_test_that_exists(start, test):
    assert any(statement.startswith(start) for statement in statements())
    if test != ADVICE:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text("utf-8")


def test_no_code_of_ours_reads_or_writes_pickle():
    words = re.compile(
        r"pickle\.(loads?|dumps?)|torch\.save|torch\.load\(|allow_pickle=True|weights_only=False|joblib\.Memory"
        r"|yaml\.(unsafe_)?load\b|(?<!\.)\beval\(|(?<!\.)\bexec\("
    )
    found = {
        (path.name, match.group())
        for place in ("core", "modalities", "applications", "plugins")
        for path in (ROOT / place).rglob("src/**/*.py")
        if (match := words.search(path.read_text("utf-8"))) is not None
    }
    assert found == set()


def test_nothing_is_looked_up_or_connected_to(tmp_path, monkeypatch):
    def refuse(*args, **more):
        raise AssertionError(f"the network was used: {args}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    task = attar.task("tensor", data="iris")
    attar.distill(task, method="dm", ipc=1, steps=1, out=tmp_path / "run")
    artifact = attar.load(tmp_path / "run")
    brief = changed(protocol("", known=task.protocols), {"epochs": 1, "networks": 1})
    attar.evaluate(artifact, task, protocol=brief, baselines=("random",), workers=1, cache=tmp_path / "cache")
    attar.train(artifact).save(tmp_path / "net.safetensors")
    attar.export(artifact, tmp_path / "set", "npz")
