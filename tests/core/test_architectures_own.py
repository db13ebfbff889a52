from __future__ import annotations

import functools
import os
import re
import sys

import pytest
import torch
from attar.api import distill, evaluate
from attar.architectures import adopt, build, check_model
from attar.architectures.own import found, importable
from attar.errors import UsageError
from attar.rng import derive
from torch import nn

NETS = """
import torch
from torch import nn

WIDTH = 3
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))

def plain(feature, classes, *, width: int = 5):
    return nn.Sequential(nn.Flatten(), nn.Linear(feature[0], width), nn.ReLU(), nn.Linear(width, classes))

class Lazy(nn.Module):
    def __init__(self, feature, classes, width=8):
        super().__init__()
        self.body, self.head = nn.LazyLinear(width), nn.LazyLinear(classes)
    def forward(self, inputs):
        return self.head(self.body(inputs).relu())

class Deeper:
    @staticmethod
    def make(feature, classes):
        return plain(feature, classes)

def nothing(feature, classes):
    pass

def number(feature, classes):
    return classes

def few(feature):
    return plain(feature, 3)

def fails(feature, classes):
    raise ValueError("no\\nluck")

def leaves(feature, classes):
    exit("unknown")

def same(feature, classes):
    return NETWORK

def narrow(feature, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, classes))

def wide(feature, classes):
    return plain(feature, classes + 1)

def integers(feature, classes):
    class Rounds(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs).long()
    return Rounds(feature[0], classes)

def pair(feature, classes):
    class Pair(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs), None
    return Pair(feature[0], classes)

def headless(feature, classes):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(feature[0], classes))
        def forward(self, inputs):
            return inputs @ self.weight
    return Mean()

def flat(feature, classes):
    class Flat(nn.Linear):
        def embed(self, inputs):
            return inputs.flatten()
    return Flat(feature[0], classes)
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes modules into the working directory, which no test after this one finds imported."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def module(text=NETS, name="nets"):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    yield module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def nets(write):
    write()


def make(text, feature=(4,), seed=0):
    return build(text, {}, feature, 3, derive(seed, "model"))


@pytest.mark.parametrize(
    "text", ["nets:plain", "nets:plain,width=7", "nets:Lazy,width=2", "nets:Deeper.make"]
)
def test_own_code_is_built(nets, text):
    assert make(text)(torch.zeros(2, 4)).shape == (2, 3)


def test_own_code_may_lie_in_a_package(write):
    write("from mine.parts import plain", "mine.nets")
    write(NETS, "mine.parts")
    assert make("mine.nets:plain").embed(torch.zeros(2, 4)).shape == (2, 5)


def test_installed_code_is_found():
    assert found("attar.nets:MLP").__name__ == "MLP"


def test_what_is_installed_goes_before_what_lies_around(write):
    write("import nothing_of_the_kind", "wave")
    with importable():
        assert found("wave:open").__module__ == "wave"


def test_looking_for_code_leaves_the_path_as_it_was(nets):
    before = list(sys.path)
    make("nets:plain")
    assert sys.path == before


@pytest.mark.parametrize("text", ["nets:plain", "nets:Lazy"])
def test_the_generator_alone_decides_the_weights(nets, text):
    state = torch.get_rng_state()
    one, same, other = (make(text, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_layers_that_wait_for_a_batch_are_filled_when_they_are_built(nets):
    model = make("nets:Lazy")
    assert all(parameter.numel() for parameter in model.parameters())
    assert model.training


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nets:", "the architecture 'nets:' is not understood; write your own as package.module:factory"),
        (":plain", "the architecture ':plain' is not understood"),
        ("ne ts:plain", "the architecture 'ne ts:plain' is not understood"),
        ("nets:plain:x", "the architecture 'nets:plain:x' is not understood"),
        ("../nets:plain", "the architecture '../nets:plain' is not understood"),
        (
            "nots:plain",
            "the architecture 'nots:plain' is not found: there is no module 'nots'; install it, or",
        ),
        (
            "nets.deep:plain",
            "the architecture 'nets.deep:plain' is not found: there is no module 'nets.deep'",
        ),
        (
            "nets:plein",
            "the architecture 'nets:plein' is not found: 'nets' has no 'plein'; did you mean 'plain'?",
        ),
        (
            "nets:qqqq",
            "the architecture 'nets:qqqq' is not found: 'nets' has no 'qqqq'; name a function or a",
        ),
        (
            "nets:WIDTH",
            "'nets:WIDTH' is no function but of type int; give a function of the shape of a sample",
        ),
        ("nets:NETWORK", "'nets:NETWORK' is a network; give what makes a fresh one"),
        ("nets:nothing", "'nets:nothing' returned None, not a network; let it return a torch.nn.Module"),
        ("nets:number", "'nets:number' returned an int, not a network"),
        (
            "nets:few",
            "'nets:few' cannot be called with (feature, classes): too many positional arguments; let",
        ),
        (
            "nets:fails",
            "'nets:fails' cannot be built for samples of shape (4,): ValueError: no luck (nets.py, line",
        ),
        (
            "nets:leaves",
            "'nets:leaves' cannot be built for samples of shape (4,): SystemExit: unknown (nets.py",
        ),
        ("nets:plain,widht=3", "unknown setting of 'nets:plain' 'widht': did you mean 'width'?"),
        ("nets:plain,classes=3", "unknown setting of 'nets:plain' 'classes'"),
        ("nets:plain,width=wide", "nets:plain,width=wide does not fit: input should be a valid integer"),
    ],
)
def test_code_that_makes_no_network_gets_one_sentence(nets, text, sentence):
    with pytest.raises(UsageError, match="^" + re.escape(sentence)) as told:
        make(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "def plain(",
            "the module 'nets' of 'nets:plain' cannot be imported: SyntaxError: '(' was never closed",
        ),
        (
            "import nowhere",
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere' (nets.py, line 1)",
        ),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero (nets.py, line 1)"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3 (nets.py, line 1)"),
    ],
)
def test_a_module_that_fails_gets_one_sentence(write, content, sentence):
    write(content)
    with pytest.raises(UsageError, match=re.escape(sentence)):
        make("nets:plain")


@pytest.mark.parametrize(
    ("text", "needs", "sentence"),
    [
        (
            "nets:narrow",
            (),
            "the model 'nets:narrow' fails on samples of shape (4,): RuntimeError: mat1 and mat2",
        ),
        (
            "nets:wide",
            (),
            "the model 'nets:wide' gives float32 of shape (2, 4) for 2 samples of 3 classes, where",
        ),
        ("nets:integers", (), "the model 'nets:integers' gives int64 of shape (2, 3) for 2 samples"),
        ("nets:pair", (), "the model 'nets:pair' gives a value of type tuple for 2 samples"),
        (
            "nets:same",
            (),
            "'nets:same' returned a network that it had returned before; let it make a fresh one",
        ),
        ("nets:headless", ("embed",), "the model Mean has no method 'embed', which this method needs"),
        ("nets:plain", ("feature_maps",), "the model Sequential has no method 'feature_maps', which this"),
        (
            "nets:flat",
            ("embed",),
            "the model 'nets:flat' embeds 2 samples as float32 of shape (8,), where shape",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_any_work(nets, blobs, text, needs, sentence):
    with pytest.raises(UsageError, match="^" + re.escape(sentence)) as told:
        check_model(blobs(), text, needs=needs)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["nets:plain", "nets:Lazy", "", "mlp,width=3"])
def test_a_network_that_fits_is_not_refused(nets, blobs, text):
    state = torch.get_rng_state()
    check_model(blobs(), text, needs=("embed",))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_frozen_part_may_be_shared(write, blobs):
    body = "BODY = nn.Linear(4, 5).requires_grad_(False)\n"
    write(f"from torch import nn\n{body}def make(f, c):\n    return nn.Sequential(BODY, nn.Linear(5, c))")
    check_model(blobs(), "nets:make")


def test_a_network_is_refused_before_a_run_begins(nets, blobs, tmp_path):
    with pytest.raises(UsageError, match="'nets:wide' gives"):
        distill(blobs(), ipc=1, steps=1, model="nets:wide", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_embedding_of_ones_own_is_kept(write):
    write(f"{NETS}\ndef own(f, c):\n    m = plain(f, c)\n    m.embed = lambda x: x\n    return m")
    assert type(make("nets:own")) is nn.Sequential


# Functions as models.


def factory(feature, classes, *, width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(feature[0], width), nn.Linear(width, classes))


def test_a_function_is_a_model_for_distilling_and_evaluating(blobs, tmp_path):
    task = blobs()
    artifact = distill(task, ipc=1, steps=2, model=factory, out=tmp_path / "run")
    named = f"{__name__}:factory"
    assert artifact.manifest.method.model == named
    again = distill(task, ipc=1, steps=2, model=factory, out=tmp_path / "run", resume=True)
    assert again.manifest.sha256 == artifact.manifest.sha256
    quick = {"baselines": (), "workers": 1, "cache": tmp_path / "cache"}
    report = evaluate(
        artifact, task, model=factory, architectures=(lambda f, c: factory(f, c, width=2), "mlp"), **quick
    )
    assert report.architecture == named
    assert list(report.architectures) == [
        f"{__name__}:{test_a_function_is_a_model_for_distilling_and_evaluating.__name__}.<locals>.<lambda>",
        "mlp",
    ]
    assert factory not in task.architectures.values()


def test_what_a_set_was_distilled_on_is_not_run_unasked(blobs, nets):
    task = blobs()
    artifact = distill(task, ipc=1, steps=1, model="nets:plain")
    with pytest.raises(
        UsageError, match="'nets:plain', which is code and no registered architecture; if you"
    ):
        evaluate(artifact, task, baselines=())


def test_text_is_passed_on():
    assert adopt(None, "mlp,width=3") == (None, "mlp,width=3")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (nn.Sequential(nn.Linear(4, 3)), "the model Sequential(…) is a network; give what makes a fresh one"),
        (3, "the model 3 is no function but of type int"),
        (functools.partial(factory, width=3), "has no name; wrap it in a function and give that"),
    ],
    ids=["network", "number", "partial"],
)
def test_what_is_no_function_is_refused(blobs, model, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        adopt(blobs(), model)


def test_a_task_that_cannot_learn_a_function_says_so():
    class Graphs:
        modality = "graph"

    with pytest.raises(UsageError, match=r"data of modality 'graph' take no function as a model; name it as"):
        adopt(Graphs(), factory)


def test_a_working_directory_without_code_is_named(write):
    with pytest.raises(UsageError, match=re.escape(repr(os.getcwd()))):
        make("nots:plain")
