import json
import subprocess
import sys

import pytest
from attar.owned import LIST
from attar_federated.results import FederatedResult

SMALL = (
    *("tensor", "--data", "digits", "--engine", "inline", "--clients", "3"),
    *("--model", "mlp,width=16,depth=1", "--set", "training.epochs=20"),
)


def simulate(cli, out, *more):
    return cli("federated", "simulate", *SMALL, "--steps", "5", "--ipc", "1", "--out", out, *more)


def test_a_run_says_what_it_did_and_leaves_it_in_a_folder(cli, tmp_path):
    found = simulate(cli, tmp_path / "run", "--quiet")
    assert (found.code, found.err) == (0, "")
    assert "no formal guarantee" in found.out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("recipe.toml", "log.jsonl", "checkpoint", "artifact", "model.safetensors", "result.json"),
        *("clients.png", "accuracy-bytes.png", "accuracy-rounds.png"),
        LIST,
    }


def test_json_is_the_result(cli, tmp_path):
    found = FederatedResult.model_validate(simulate(cli, tmp_path / "run", "--json").json)
    assert found == FederatedResult.model_validate(json.loads((tmp_path / "run" / "result.json").read_text()))
    assert [sum(row) for row in found.counts] == [432, 431, 431]


def test_its_union_is_evaluated_and_trained_on_like_any_set(cli, tmp_path):
    simulate(cli, tmp_path / "run")
    changes = ("--set", "protocol.epochs=5", "--set", "protocol.networks=1")
    report = cli(
        "evaluate",
        tmp_path / "run",
        "--data",
        "digits",
        "--baselines",
        "none",
        *changes,
        "--workers",
        "1",
        "--json",
    ).json
    assert report["samples"] == 30
    assert cli("train", tmp_path / "run", "--out", tmp_path / "net.safetensors", *changes[:2]).code == 0


def test_a_run_has_a_page(cli, tmp_path):
    result = simulate(cli, tmp_path / "run", "--json").json
    found = cli("report", tmp_path / "run", "-o", tmp_path / "page.html", "--json").json
    assert found["parts"] == ["digits: run"]
    page = (tmp_path / "page.html").read_text("utf-8")
    accuracy = f"{result['accuracy']['mean']:.1f}"
    for said in (accuracy, "no formal guarantee", "Who has what", "What the clients sent", "clients = 3"):
        assert said in page, said
    assert "New networks trained on it" not in page
    protocol = ("--set", "protocol.networks=1", "--set", "protocol.epochs=2", "--workers", "1")
    report = cli(
        "evaluate", tmp_path / "run", "--data", "digits", "--baselines", "random", *protocol, "--json"
    ).json
    assert cli("report", tmp_path / "run", "-o", tmp_path / "page.html", "--force").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "New networks trained on it" in page
    assert f"{report['baselines']['random']['mean']:.1f}" in page
    (tmp_path / "run" / "result.json").unlink()
    assert "no finished federated run" in cli("report", tmp_path / "run", "-o", tmp_path / "b.html").refusal


def test_a_folder_that_is_occupied_is_left_alone_unless_forced(cli, tmp_path):
    first = simulate(cli, tmp_path / "run", "--json").json
    assert "exists and is not empty" in simulate(cli, tmp_path / "run").refusal
    again = simulate(cli, tmp_path / "run", "--force", "--seed", "1", "--json").json
    assert first["seed"] != again["seed"]
    assert not list(tmp_path.glob(".run*"))


def test_force_deletes_nothing_that_is_not_ours(cli, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "was not written by Attar" in simulate(cli, tmp_path / "run", "--force").refusal
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_a_complete_run_resumes_to_itself_and_averaging_goes_on_with_more_rounds(cli, tmp_path):
    def average(rounds, *more):
        return cli(
            *("federated", "simulate", *SMALL, "--protocol", "fedavg", "--rounds", rounds),
            *("--out", tmp_path / "run", "--json", *more),
        ).json

    first = average(1)
    assert average(1, "--resume") == first
    assert average(2, "--resume")["rounds"][0] == first["rounds"][0]


def test_a_recipe_is_repeated_to_the_same_bytes(cli, tmp_path):
    first = simulate(cli, tmp_path / "run", "--set", "lr=0.5", "--json").json
    again = cli(
        "federated", "run", tmp_path / "run", "--engine", "inline", "--out", tmp_path / "again", "--json"
    ).json
    assert again["accuracy"] == first["accuracy"]
    one, two = (tmp_path / name / "artifact" / "data.safetensors" for name in ("run", "again"))
    assert one.read_bytes() == two.read_bytes()


def test_a_recipe_is_changed_by_settings(cli, tmp_path):
    simulate(cli, tmp_path / "run")
    options = ("--set", "clients=2", "--engine", "inline", "--dry-run", "--json")
    assert len(cli("federated", "run", tmp_path / "run", *options).json["counts"]) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "is no valid TOML"),
        ('model = "evil:network"\n[data]\nmodality = "tensor"\nname = "digits"', "names code, model"),
        ('[data]\nmodality = "tensor"\nname = "../secret"', "named without a path"),
        ('speed = 3\n[data]\nmodality = "tensor"\nname = "digits"', "unknown setting 'speed'"),
    ],
)
def test_a_recipe_of_a_stranger_is_checked(text, told, cli, tmp_path):
    (tmp_path / "recipe.toml").write_text(text)
    assert told in cli("federated", "run", tmp_path / "recipe.toml").refusal


def test_dry_run_says_who_has_what_and_does_nothing(cli, tmp_path):
    plan = simulate(cli, tmp_path / "run", "--partition", "dirichlet,alpha=0.1", "--dry-run", "--json").json
    assert sum(map(sum, plan["counts"])) == 1294
    assert not (tmp_path / "run").exists()


def test_runs_are_compared(cli, tmp_path):
    simulate(cli, tmp_path / "one")
    cli(
        *("federated", "simulate", *SMALL, "--protocol", "fedavg", "--rounds", "4", "--set", "local.lr=0.1"),
        *("--out", tmp_path / "avg", "--quiet"),
    )
    found = cli(
        *("federated", "report", tmp_path / "one", tmp_path / "avg", "--accuracy", "1", "--hold", "2"),
        *("--out", tmp_path / "report", "--json"),
    ).json
    assert [row["run"] for row in found["runs"]] == ["one", "avg"]
    assert found["runs"][1]["held"]["round"] == 1
    assert (tmp_path / "report" / "accuracy-bytes.png").read_bytes().startswith(b"\x89PNG")
    written = (tmp_path / "report" / "report.md").read_text()
    assert "| one | one-shot |" in written
    assert "one: no formal guarantee." in written
    said = cli("federated", "report", tmp_path / "one", tmp_path / "avg", "--accuracy", "101")
    assert "never" in said.out


def test_an_app_is_written_with_everything_that_can_be_changed(cli, tmp_path):
    import tomllib

    from attar_federated.configure import KEYS

    changes = ("--set", "lr=0.5", "--set", "training.epochs=20")
    found = cli("federated", "app", tmp_path / "app", "tensor", "--data", "digits", *changes, "--json").json
    assert found == {"app": str(tmp_path / "app")}
    project = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text())
    config = project["tool"]["flwr"]["app"]["config"]
    assert set(config) == set(KEYS)
    assert config["set"] == "lr=0.5 training.epochs=20"
    assert len(project["project"]["name"]) <= 32
    assert project["project"]["dependencies"] == []


def test_what_an_app_is_configured_by_is_the_same_run(cli, tmp_path):
    import tomllib

    from attar_federated.deployment import _recipe

    options = ("--data", "digits", "--clients", "4", "--ipc", "3", "--wire", "uint8", "--set", "lr=0.5")
    cli("federated", "app", tmp_path / "app", "tensor", *options)
    config = tomllib.loads((tmp_path / "app" / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    recipe = _recipe(config)
    assert (recipe.clients, recipe.size.ipc, recipe.wire, recipe.objective) == (4, 3, "uint8", {"lr": "0.5"})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name a modality"),
        (("tensor",), "name the data with --data: "),
        (("scent", "--data", "x"), "unknown modality 'scent'"),
        (("tensor", "--data", "digits", "--partition", "fair"), "unknown partition 'fair'"),
        (("tensor", "--data", "digits", "--partition", "dirichlet,beta=1"), "'dirichlet.beta'"),
        (("tensor", "--data", "digits", "--protocol", "gossip"), "protocol = 'gossip' does not fit"),
        (("tensor", "--data", "digits", "--engine", "steam"), "unknown engine 'steam'"),
        (("tensor", "--data", "digits", "--ipc", "1", "--size", "20"), "give one of --ipc"),
        (("tensor", "--data", "digits", "--distiller", "dmm"), "did you mean 'dm'"),
        (("tensor", "--data", "digits", "--set", "local.speed=1"), "'local.speed'"),
        (("tensor", "--data", "digits", "--set", "lrr=1"), "'objective.lrr'"),
        (("tensor", "--data", "digits", "--protocol", "fedavg", "--wire", "uint8"), "not sent as uint8"),
        (("tensor", "--data", "digits", "--distiller", "random"), "selects real samples"),
        (("tensor", "--data", "digits", "--protocol", "feddm", "--distiller", "mtt"), "cannot match around"),
        (("tensor", "--data", "digits", "--model", "convnett"), "convnet"),
        (("tensor", "--data", "digits", "--clients", "5000"), "cannot be shared among 5000 clients"),
    ],
)
def test_mistakes_get_a_sentence(arguments, told, cli, tmp_path):
    found = cli(
        "federated", "simulate", *arguments, *(("--engine", "inline") if "--engine" not in arguments else ())
    )
    assert told in found.refusal
    assert not (tmp_path / "runs").exists()


def test_a_report_needs_finished_runs(cli, tmp_path):
    assert "holds no finished federated run" in cli("federated", "report", tmp_path).refusal


def test_the_schema_is_printed(cli):
    assert json.loads(cli("schema", "federated").out)["title"] == "FederatedResult"


@pytest.mark.slow
def test_the_engine_of_flower_gives_what_this_process_gives(cli, tmp_path):
    inline = simulate(cli, tmp_path / "inline", "--json").json
    # Ray leaves processes and files behind that end with the process that started it.
    arguments = ["federated", "simulate", *(part if part != "inline" else "ray" for part in SMALL)]
    arguments += ["--steps", "5", "--ipc", "1", "--out", str(tmp_path / "ray"), "--json"]
    ended = subprocess.run(
        [sys.executable, "-c", "from attar.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["accuracy"] == inline["accuracy"]
    one, two = (tmp_path / name / "artifact" / "data.safetensors" for name in ("inline", "ray"))
    assert one.read_bytes() == two.read_bytes()
    assert ended.stderr == ""
