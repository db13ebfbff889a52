"""Plots, animations, trackers and notebooks."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace

import attar
import pytest
from attar.artifact.html import summary_html
from attar.cost import Cost
from attar.errors import UsageError
from attar.evolution import animation, frame_paths, recorder
from attar.plots import accuracy_plot, confusion_plot
from attar.plugins import DataInfo
from attar.progress import progress
from attar.protocols import CPU_1, PUBLISHED
from attar.registry import Registry
from attar.reports import Report, Score, Seconds
from attar.runner import StepRecord
from attar.tracking import check_trackers, tracked
from PIL import Image


def report(mean=90.0, **changes):
    values = {
        "method": "dm",
        "accuracy": Score(mean=mean, std=1.0, n=3),
        "n_sets": 1,
        "n_networks": 3,
        "baselines": {"random": Score(mean=mean - 20, std=2.0, n=5)},
        "bytes": 100,
        "bytes_on_disk": 200,
        "seconds": Seconds(cpu=1, wall=1),
        "protocol": CPU_1,
        "data": "digits",
        "architecture": "convnet",
        "samples": 10,
    }
    return Report(**{**values, **changes})


def opened(data):
    return Image.open(io.BytesIO(data))


# Plots.


@pytest.mark.parametrize("against", ["ipc", "cpu"])
def test_accuracy_is_plotted(against):
    picture = opened(accuracy_plot([(1, report(80)), (10, report(95))], against))
    assert picture.format == "PNG"
    assert min(picture.size) > 300


def test_a_plot_is_the_same_each_time():
    assert accuracy_plot([(1, report())], "ipc") == accuracy_plot([(1, report())], "ipc")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"protocol": PUBLISHED}, "protocol"),
        ({"data": "mnist"}, "data"),
        ({"architecture": "mlp"}, "architecture"),
    ],
)
def test_evaluations_that_differ_are_not_compared(change, what):
    with pytest.raises(UsageError, match=f"differ in their {what}, so their accuracies cannot be compared"):
        accuracy_plot([(1, report()), (10, report(**change))], "ipc")


def test_nothing_is_no_plot():
    with pytest.raises(UsageError, match="nothing to plot; evaluate the runs first"):
        accuracy_plot([], "ipc")


@pytest.mark.parametrize("classes", [2, 25, 60])
def test_confusion_is_plotted_for_few_and_many_classes(classes):
    counts = [[3 if i == j else 1 for j in range(classes)] for i in range(classes)]
    names = [f"$class_{i}$ <b> {'x' * 30}" for i in range(classes)]
    assert opened(confusion_plot(counts, names)).format == "PNG"


def test_a_class_without_test_samples_is_no_error():
    assert confusion_plot([[0, 0], [1, 2]], ["a", "b"])


# Evolution.


def record(step, steps=6, loss=1.0, syn=None):
    return StepRecord(
        step=step, steps=steps, loss=loss, cost=Cost(cpu=step, wall=step, peak_bytes=5), syn=syn
    )


def test_frames_show_how_a_set_changes(tmp_path):
    task = attar.task("tensor", data="digits")
    modality = Registry().get("modalities", "tensor")
    info = DataInfo(classes=task.classes, axes=task.axes, preprocessing=task.preprocessing)
    draw = recorder(modality, info, tmp_path, frames=3)
    attar.distill(task, ipc=1, steps=6, reuse=1, lr=50, per_class=4, callbacks=[draw])
    names = [path.name for path in frame_paths(tmp_path)]
    assert names == [f"step-{step:08d}.png" for step in (1, 2, 4, 6)]
    moving = opened(animation(frame_paths(tmp_path)))
    assert (moving.format, moving.n_frames) == ("GIF", 4)
    assert moving.info["loop"] == 0


def test_a_run_without_frames_says_how_to_have_them(tmp_path):
    with pytest.raises(UsageError, match="has no frames; distill it with --frames 40"):
        frame_paths(tmp_path)


def test_a_damaged_frame_is_named(tmp_path):
    path = tmp_path / "step-1.png"
    path.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"step-1\.png' cannot be read; remove it"):
        animation([path])


# Trackers.


def test_an_unknown_tracker_is_refused():
    with pytest.raises(UsageError, match="unknown tracker 'tensorbord': did you mean 'tensorboard'"):
        check_trackers(["tensorbord"])


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_says_how(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(UsageError, match=f"--log {name} needs the package {name}: pip install {name}"),
        tracked([name], tmp_path, ""),
    ):
        pass


def test_tensorboard_gets_the_figures(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracked(["tensorboard"], tmp_path, "seed = 1") as tell:
        for step in (1, 2):
            tell(record(step, loss=1 / step))
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(point.step, point.value) for point in found.Scalars("loss")] == [(1, 1.0), (2, 0.5)]


def test_wandb_gets_the_figures(tmp_path, monkeypatch):
    sent, ended = [], []
    session = SimpleNamespace(
        log=lambda figures, step: sent.append((step, figures["loss"])), finish=lambda: ended.append(True)
    )
    fake = ModuleType("wandb")
    fake.init = lambda **given: session if given["config"] == {"recipe": "x"} else None
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with tracked(["wandb"], tmp_path, "x") as tell:
        tell(record(1))
    assert (sent, ended) == ([(1, 1.0)], [True])


def test_mlflow_gets_the_figures(tmp_path, monkeypatch):
    from contextlib import nullcontext

    sent = []
    fake = ModuleType("mlflow")
    fake.start_run = lambda run_name: nullcontext()
    fake.log_text = lambda text, name: sent.append((name, text))
    fake.log_metrics = lambda figures, step: sent.append((step, figures["loss"]))
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    with tracked(["mlflow"], tmp_path, "x") as tell:
        tell(record(1))
    assert sent == [("recipe.toml", "x"), (1, 1.0)]


def test_long_runs_send_a_thousand_points(tmp_path, monkeypatch):
    sent = []
    fake = ModuleType("wandb")
    log = SimpleNamespace(log=lambda figures, step: sent.append(step), finish=lambda: None)
    fake.init = lambda **_: log
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with tracked(["wandb"], tmp_path, "x") as tell:
        for step in range(1, 5002):
            tell(record(step, steps=5001))
    assert len(sent) in range(1000, 1003)
    assert sent[-1] == 5001


# Notebooks.


def test_progress_in_a_notebook_is_html(monkeypatch):
    pages = []
    handle = SimpleNamespace(update=pages.append)

    class ZMQInteractiveShell:
        pass

    fake = ModuleType("IPython")
    fake.get_ipython = ZMQInteractiveShell
    shown = ModuleType("IPython.display")
    shown.HTML = lambda text: text

    def display(page, display_id):
        pages.append(page)
        return handle

    shown.display = display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    with progress(3, "<b>work</b>") as advance:
        advance(3, "loss 1")
    assert pages[0] == '<progress value="0" max="3"></progress> &lt;b&gt;work&lt;/b&gt;: 0/3 '
    assert pages[-1].startswith(
        '<progress value="3" max="3"></progress> &lt;b&gt;work&lt;/b&gt;: 3/3 loss 1, about 0 s'
    )


def test_a_set_shows_itself_with_everything_escaped(tmp_path):
    import numpy as np

    np.savez(tmp_path / "<script>x.npz", x_train=np.random.rand(30, 4), y_train=np.arange(30) % 2)
    artifact = attar.distill(attar.task("tensor", data=tmp_path / "<script>x.npz"), method="random", ipc=1)
    page = summary_html(artifact.manifest, artifact.preview)
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert 'src="data:image/png;base64,iVBOR' in page
