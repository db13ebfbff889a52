"""What the files beside the code promise, and whether they are in step with one another."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PAGES = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - set((ROOT / "docs" / "_build").rglob("*.md"))
)


def text(*parts):
    return ROOT.joinpath(*parts).read_text("utf-8")


def extension(name):
    """Return a module of the documentation's own."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text("utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def recipe(target):
    """Return the commands of a target of the Makefile."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()]


def test_the_workflow_covers_every_platform_and_version(workflow):
    matrix = workflow["jobs"]["check"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert all(isinstance(each, str) for each in matrix["python"])


def test_the_workflow_may_only_read(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert not [job for job in workflow["jobs"].values() if "permissions" in job]


def test_the_workflow_names_actions_by_their_major_version(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert not [name for name in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)]


def test_the_workflow_runs_what_the_makefile_runs(workflow):
    commands = [line for step in steps(workflow) for line in step.get("run", "").splitlines()]
    assert "make lint types test PYTHON=python" in commands
    assert "make docs PYTHON=python" in commands
    for target in ("lint", "types", "test"):
        for command in recipe(target):
            assert command.replace("$(BIN)", ".venv/Scripts") in commands
    install = re.search(r"-m pip install (.* --group dev)", text("Makefile"))[1]
    assert f".venv/Scripts/python -m pip install {install}" in commands


def test_the_workflow_says_that_it_has_not_run():
    assert "has not run yet" in WORKFLOW.read_text("utf-8")
    assert "**has not run yet**" in text("CONTRIBUTING.md")


def test_continuous_integration_makes_every_check():
    made = re.findall(r"^make (.*)$", text(".ci", "run"), re.MULTILINE)
    assert made == ["lint", "types", "test", "docs"]
    for target in made:
        assert recipe(target)


def test_building_the_documentation_makes_warnings_errors():
    (build,) = recipe("docs")
    assert {"-n", "-W", "--keep-going"} <= set(build.split())


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md"])
def test_nobody_is_asked_to_write_to_an_address(name):
    assert not re.findall(r"[\w.]+@[\w.]+", text(name))


def test_the_security_page_names_every_exception():
    page = text("SECURITY.md")
    for word in ("CIFAR", "joblib", "Ray", "Planetoid", "Avalanche", "Report a vulnerability"):
        assert word in page


def test_the_policy_names_what_is_public():
    page = text("docs", "versions.md")
    for word in (
        "attar.__all__",
        "attar schema COMMAND",
        "attar.PLUGIN_API",
        "Semantic Versioning",
        "one minor",
    ):
        assert word in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_to_files(page):
    outside_code = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", outside_code):
        assert (page.parent / target).exists(), target


def test_the_page_of_commands_has_every_command_and_option():
    import typer
    from attar.cli.main import app

    page = extension("command_page").commands()
    for name, command in typer.main.get_command(app).commands.items():
        section = page.partition(f"\n## attar {name}\n")[2].partition("\n## ")[0]
        assert " ".join(command.help.split()).replace("_", r"\_")[:20] in section
        for parameter in command.params:
            if not getattr(parameter, "hidden", False) and parameter.opts[0].startswith("--"):
                assert re.search(rf"`[^`\n]*{parameter.opts[0]}\b", section), parameter.opts


FETCHES = [
    '<script async src="https://cdn.example/x.js">',
    "<script src='//cdn.example/x.js'>",
    '<link rel="stylesheet" href="https://fonts.example/css">',
    '<img alt="" src="http://example/badge.svg">',
    "@font-face { src: url(https://fonts.example/a.woff2) }",
    '@import "https://fonts.example/css";',
]


@pytest.mark.parametrize("page", FETCHES)
def test_a_page_that_would_fetch_from_elsewhere_is_found(page):
    (found,) = extension("offline").requests(f"<p>before</p>{page}<p>after</p>")
    assert "example" in found


def test_a_page_may_link_to_anywhere_and_fetch_its_own_files():
    page = '<a href="https://example.org">x</a><link rel="stylesheet" href="_static/a.css"><img src="a.png">'
    assert extension("offline").requests(page + "@import 'b.css'; a { background: url(c.svg) }") == []
