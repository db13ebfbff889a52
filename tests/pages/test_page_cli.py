"""``attar report`` on the command line."""

from __future__ import annotations

import base64
import re

import pytest

from tests.pages.conftest import HOSTILE

QUICK = (
    "--workers",
    1,
    "--set",
    "protocol.epochs=1",
    "--set",
    "protocol.networks=1",
    "--baselines",
    "random",
)
IRIS = ("--data", "iris", "--ipc", 1, "--steps", 2, "--model", "mlp,width=4", "--threads", 1, "--quiet")


@pytest.fixture
def evaluated(cli, tmp_path):
    """A run that was evaluated, and one that was not."""
    for seed in (0, 1):
        assert cli("distill", "tensor", *IRIS, "--seed", seed, "--out", tmp_path / f"run{seed}").code == 0
    assert cli("evaluate", tmp_path / "run0", *QUICK, "--equal-bytes", "--architecture", "linear").code == 0
    return tmp_path / "run0", tmp_path / "run1"


def test_a_page_tells_of_a_set_that_was_evaluated(cli, evaluated, tmp_path):
    found = cli("report", evaluated[0], "-o", tmp_path / "page.html", "--json").json
    page = (tmp_path / "page.html").read_text("utf-8")
    assert found == {
        "page": str(tmp_path / "page.html"),
        "bytes": len(page.encode()),
        "parts": ["iris: run0"],
    }
    for said in (
        *(
            "How well networks learn from it",
            "Class by class",
            "Equal bytes",
            "Networks of other architectures",
        ),
        *(
            "setosa",
            "SHA-256",
            "attar run recipe.toml --out again",
            "--set protocol.epochs=1",
            "--equal-bytes",
        ),
    ):
        assert said in page, said


def test_the_commands_of_a_page_repeat_the_set(cli, evaluated, tmp_path):
    recipe = evaluated[0] / "artifact" / "recipe.toml"
    assert cli("run", recipe, "--out", tmp_path / "again", "--threads", 1, "--quiet").code == 0
    first, again = (run / "artifact" / "data.safetensors" for run in (evaluated[0], tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()
    cli("report", evaluated[0], "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    command = re.search(r"attar (evaluate again [^<]*)", page).group(1).replace("&#39;", "").split()
    assert cli(*command, "--workers", 1, "--baselines", "random").code == 0


def test_a_set_that_was_not_evaluated_says_how(cli, evaluated, tmp_path):
    assert cli("report", evaluated[1], "-o", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "It was not evaluated" in page
    assert "attar evaluate RUN" in page


def test_an_artifact_alone_has_a_page(cli, evaluated, tmp_path):
    assert cli("report", evaluated[0] / "artifact", "-o", tmp_path / "page.html").code == 0
    assert "It was not evaluated" in (tmp_path / "page.html").read_text("utf-8")


def test_several_sets_stand_beside_each_other(cli, evaluated, tmp_path):
    found = cli("report", *evaluated, "-o", tmp_path / "page.html", "--title", "mine", "--json").json
    assert found["parts"] == ["All sets", "iris: run0", "iris: run1"]
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<title>mine</title>" in page
    assert "Fewer than two of them were evaluated" in page
    assert cli("evaluate", evaluated[1], *QUICK).code == 0
    cli("report", *evaluated, "-o", tmp_path / "page.html", "--force")
    assert "Accuracy against bytes of a set" in (tmp_path / "page.html").read_text("utf-8")
    assert cli("evaluate", evaluated[1], *QUICK, "--set", "protocol.epochs=2").code == 0
    cli("report", *evaluated, "-o", tmp_path / "page.html", "--force")
    assert "so that their accuracies cannot be compared" in (tmp_path / "page.html").read_text("utf-8")


def test_a_comparison_has_a_page(cli, tmp_path):
    made = cli(
        *("compare", "tensor", "--data", "iris", "--methods", "dm", "--ipc", 1, "--seeds", 1, "--steps", 2),
        *(
            "--baselines",
            "random",
            "--workers",
            1,
            "--set",
            "protocol.epochs=1",
            "--set",
            "protocol.networks=1",
        ),
        *("--model", "mlp,width=4", "--out", tmp_path / "all", "--quiet"),
    )
    assert made.code == 0, made.err
    assert cli("report", tmp_path / "all", "-o", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    for said in ("Equal count", "Accuracy against bytes and cost", "Samples: dm, 1 per class"):
        assert said in page, said


def test_the_steps_that_held_out_data_judged_are_listed(cli, tmp_path):
    made = cli("distill", "tensor", *IRIS, "--set", "validate_every=1", "--out", tmp_path / "run")
    assert made.code == 0, made.err
    cli("report", tmp_path / "run", "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    table = page.partition("Accuracy on held-out data along the way</caption>")[2].partition("</table>")[0]
    judged = cli("show", tmp_path / "run", "--json").json["method"]["validated"]
    assert re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", table)[2:] == [
        s for k, v in judged for s in (str(k), f"{v:.1f}")
    ]
    assert f"step {max(judged, key=lambda each: each[1])[0]} of 2" in page


def test_a_class_with_a_hostile_name_is_shown_not_run(cli, runs, tmp_path):
    cli("report", runs[0], "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert HOSTILE not in page
    assert "&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;" in page
    assert "plain &amp; simple" in page
    for coded in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page):
        assert HOSTILE.encode() not in base64.b64decode(coded)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "there is no folder 'nowhere'; give the folder of a run or of an artifact"),
        (("run0", "-o", "run0"), "'run0' is a folder; name a file, such as"),
        (
            ("run0", "-o", "taken.html"),
            "the file 'taken.html' exists; choose another --out or replace it with",
        ),
        (("run0", "run1", "--data", "x"), "samples are shown beside data of one set; name one run"),
        (
            ("run0", "--set", "objective.lr=1"),
            "unknown setting 'objective.lr': a page is written with settings",
        ),
        (("run0", "--data", "iris"), "the samples of 'iris' have no names to tell which are nearest"),
        (("empty",), "'empty' holds no manifest.json; give the folder of a run or of an artifact"),
        (("damaged",), "damaged; compare again"),
    ],
)
def test_what_cannot_be_told_of_is_one_sentence(cli, runs, tmp_path, arguments, said):
    (tmp_path / "taken.html").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "comparison.json").write_text("{}")
    assert said in cli("report", *arguments).refusal
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "taken.html").read_text() == "mine"


def test_a_damaged_evaluation_is_named(cli, runs, tmp_path):
    (runs[0] / "evaluations").mkdir()
    (runs[0] / "evaluations" / "cpu-1-00.json").write_text('{"method": "dm"}')
    assert "cpu-1-00.json' is damaged; evaluate the run again" in cli("report", runs[0]).refusal
