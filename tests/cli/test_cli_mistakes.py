from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("uninstalled")

DATA = ("--data", "iris")
ONE = ("--ipc", "1")
TENSOR = ("distill", "tensor", *DATA)

SENTENCES = [
    ((*TENSOR, *ONE, "--method", "nope"), ["unknown method 'nope'", "dm", "herding", "k-means"]),
    (("distill", "nope", *DATA, *ONE), ["unknown modality 'nope'", "tensor"]),
    (("distill", *DATA, *ONE), ["name a modality"]),
    (("distill", "scent", *DATA, *ONE), ["'scent'", "pip install attar-scent"]),
    (("distill", "tensor", *ONE), ["--data", "digits", "iris"]),
    (("distill", "tensor", "--data", "irs", *ONE), ["unknown data 'irs'", "did you mean 'iris'", "digits"]),
    (("distill", "image", "--data", "/no/such/folder", *ONE), ["'/no/such/folder'", "mnist"]),
    (("distill", "tensor", "--data", "/no/such.npz", *ONE), ["there is no file '/no/such.npz'"]),
    ((*TENSOR, *ONE, "--set", "objective.nope=1"), ["'objective.nope'", "objective.lr", "objective.reuse"]),
    ((*TENSOR, *ONE, "--set", "nope.lr=1"), ["'nope'", "objective", "run"]),
    ((*TENSOR, *ONE, "--set", "run.nope=1"), ["'run.nope'", "run.dtype", "run.seed"]),
    ((*TENSOR, *ONE, "--set", "data.options.nope=1"), ["'data.options.nope'", "data.options.validation"]),
    ((*TENSOR, *ONE, "--set", "parameterization.nope=1"), ["'parameterization.nope'"]),
    ((*TENSOR, *ONE, "--set", "objective.parameterization=nope"), ["parameterization 'nope'", "plain"]),
    ((*TENSOR, *ONE, "--set", "objective.init=nope"), ["'nope'", "herding"]),
    ((*TENSOR, *ONE, "--set", "objective.lr"), ["'objective.lr'", "--set lr=0.1"]),
    ((*TENSOR, *ONE, "--set", "=1"), ["'=1'", "--set lr=0.1"]),
    ((*TENSOR, *ONE, "--set", "objective.lr=fast"), ["objective.lr", "'fast'", "number"]),
    ((*TENSOR, *ONE, "--set", "objective.lr=-1"), ["objective.lr", "greater than 0"]),
    ((*TENSOR, *ONE, "--set", "objective.lr=nan"), ["objective.lr", "finite"]),
    ((*TENSOR, *ONE, "--set", "objective.lr=inf"), ["objective.lr", "finite"]),
    ((*TENSOR, *ONE, "--set", "objective.steps.more=1"), ["objective.steps"]),
    ((*TENSOR, *ONE, "--set", "run.dtype=float8"), ["run.dtype", "float16", "float32"]),
    ((*TENSOR, *ONE, "--steps", "0"), ["objective.steps", "greater than or equal to 1"]),
    ((*TENSOR, *ONE, "--model", "nope"), ["unknown architecture 'nope'", "convnet", "mlp"]),
    ((*TENSOR, *ONE, "--model", "mlp,nope=1"), ["'mlp'", "'nope'", "width"]),
    ((*TENSOR, *ONE, "--model", "mlp,width"), ["'width'", "name,key=value"]),
    ((*TENSOR, *ONE, "--model", "mlp,width=wide"), ["mlp,width=wide"]),
    ((*TENSOR, *ONE, "--device", "nope"), ["device 'nope'", "choose cpu"]),
    ((*TENSOR, *ONE, "--device", "meta"), ["device 'meta'", "choose cpu"]),
    ((*TENSOR, *ONE, "--precision", "fp8"), ["precision = 'fp8'", "bf16", "fp32"]),
    ((*TENSOR, *ONE, "--method", "herding", "--steps", "5"), ["'herding'", "steps"]),
    ((*TENSOR, *ONE, "--method", "herding", "--set", "objective.space=nope"), ["'nope'", "trained"]),
    ((*TENSOR, *ONE, "--size", "9"), ["only one of", "--ipc", "--size", "--ratio", "--budget"]),
    ((*TENSOR, "--ipc", "0"), ["ipc", "greater than or equal to 1"]),
    ((*TENSOR, "--ipc", "-1"), ["ipc", "greater than or equal to 1"]),
    ((*TENSOR, "--ipc", "37"), ["class 'setosa'", "37", "36", "--ipc-policy"]),
    ((*TENSOR, *ONE, "--ipc-policy", "nope"), ["policy", "error", "cap", "repeat"]),
    ((*TENSOR, "--size", "2"), ["3 classes", "larger"]),
    ((*TENSOR, "--ratio", "0"), ["ratio", "greater than 0"]),
    ((*TENSOR, "--ratio", "1.5"), ["ratio", "less than or equal to 1"]),
    ((*TENSOR, "--ratio", "nan"), ["ratio"]),
    ((*TENSOR, "--budget", "much"), ["'much'", "100KB"]),
    ((*TENSOR, "--budget", "-5KB"), ["'-5KB'", "100KB"]),
    ((*TENSOR, "--budget", "1e5"), ["'1e5'", "100KB"]),
    ((*TENSOR, "--budget", "5PB"), ["'5PB'", "100KB"]),
    ((*TENSOR, "--budget", "0KB"), ["bytes", "greater than or equal to 1"]),
    ((*TENSOR, "--budget", "20B"), ["3 classes", "larger"]),
    ((*TENSOR, *ONE, "--root", "/no/such/root"), ["'/no/such/root'", "--root"]),
    (("schema", "nope"), ["unknown schema 'nope'", "evaluate"]),
    (("show", "/no/such/run"), ["'/no/such/run'"]),
    (("evaluate", "/no/such/run"), ["'/no/such/run'"]),
    (("evaluate", "tensor"), ["name a run"]),
    (("run", "/no/such.toml"), ["'/no/such.toml'"]),
]


@pytest.mark.parametrize(("arguments", "words"), SENTENCES, ids=lambda value: " ".join(value)[-40:])
def test_one_sentence_names_the_thing_and_the_choices(cli, tmp_path, arguments, words):
    said = cli(*arguments).refusal
    assert [word for word in words if word not in said] == []
    assert list(tmp_path.iterdir()) == []


JSON = [arguments for arguments, _ in SENTENCES if arguments[0] in ("distill", "evaluate", "show", "run")][
    ::6
]


@pytest.mark.parametrize("arguments", JSON, ids=lambda value: " ".join(value)[-40:])
def test_an_error_leaves_stdout_empty_for_json(cli, arguments):
    assert cli(*arguments, "--json").refusal


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("distill", "tensor", "--nope"),
        ("distill", "tensor", "more"),
        (*TENSOR, "--ipc", "many"),
        (*TENSOR, *ONE, "--seed", "-1"),
        (*TENSOR, *ONE, "--threads", "0"),
        ("evaluate",),
        ("show",),
    ],
    ids=" ".join,
)
def test_the_parser_refuses_with_exit_code_2(cli, arguments):
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    assert result.err.startswith("attar: ")
    assert result.err.rstrip().endswith("--help'")
    assert result.err.count("\n") == 1


def test_no_command_shows_the_help(cli):
    result = cli()
    assert "distill" in result.out + result.err
    assert result.code in (0, 2)


def test_a_mistake_in_a_parser_option_does_not_hide_the_help(cli):
    assert "--help" in cli("distill", "tensor", "--nope").err


@pytest.mark.parametrize("what", ["--model=nope", "--method=herding --set=objective.space=nope"])
def test_a_dry_run_finds_the_mistakes_that_the_run_would(distill, cli, tmp_path, what):
    cli_arguments = (*TENSOR, *ONE, *what.split(), "--dry-run", "--out", tmp_path / "run")
    assert "unknown" in cli(*cli_arguments).refusal


def test_data_missing_in_the_root_say_how_to_get_them(cli, tmp_path):
    said = cli("distill", "image", "--data", "mnist", *ONE, "--root", tmp_path).refusal
    assert "mnist" in said
    assert "--download" in said


def test_data_missing_in_the_usual_root_say_how_to_get_them(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("ATTAR_DATA", str(tmp_path / "nothing"))
    assert "--download" in cli("distill", "image", "--data", "cifar10", *ONE).refusal


@pytest.mark.parametrize("policy", ["cap", "repeat"])
def test_small_classes_work_with_a_policy(distill, policy):
    made = distill("run", "--ipc-policy", policy, "--json", size=("--ipc", 40)).json
    assert made["samples"] == {"cap": 108, "repeat": 120}[policy]


def test_an_unforeseen_error_is_our_bug_and_says_where_it_is_written(distill, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("attar.cli.work.load_task", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = distill("run")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1
    log = next(tmp_path.glob("attar-*.log"))
    assert str(log) in result.err
    assert "ZeroDivisionError" in log.read_text()


def test_a_disk_error_that_is_not_foreseen_is_no_bug_of_ours(distill, monkeypatch):
    def fail(self, content):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    assert "Input/output error" in distill("run").refusal


def test_divergence_names_the_step_size_and_keeps_the_last_good_checkpoint(distill, tmp_path):
    from attar.checkpoint import Checkpoints, finite

    changes = ("--set", "objective.lr=1e30", "--set", "run.checkpoint_every=1")
    said = distill("run", *changes, steps=20).refusal
    assert "objective.lr" in said
    assert "1e+30" in said
    kept = Checkpoints(tmp_path / "run" / "checkpoint").newest()
    assert f"last good checkpoint: step {kept.step}" in said
    assert finite(kept.state["syn"])
    assert not (tmp_path / "run" / "artifact").exists()


def test_divergence_before_the_first_checkpoint_leaves_none(distill, tmp_path):
    assert "objective.lr" in distill("run", "--set", "objective.lr=1e30", steps=20).refusal
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory"),
    ],
    ids=["python", "cpu", "cuda"],
)
def test_memory_that_is_refused_is_no_bug(cli, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("attar.cli.work.distill", refuse)
    result = cli(*TENSOR, *ONE)
    assert result.code == 2
    assert "not enough memory" in result.err


def test_settings_of_data_are_understood_with_and_without_options(cli):
    plans = [
        cli(*TENSOR, *ONE, "--dry-run", "--json", "--set", f"{key}=0.5").json["training_samples"]
        for key in ("data.validation", "data.options.validation")
    ]
    assert plans[0] == plans[1] < 75


def test_what_may_be_meant_is_said_once(cli):
    assert cli("distil", "tensor").refusal.count("Did you mean 'distill'?") == 1
