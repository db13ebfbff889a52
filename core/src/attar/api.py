"""The Python interface: a task, distilled, evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from attar import protocols
from attar.architectures import adopt
from attar.artifact import Artifact
from attar.cache import cache_root
from attar.contracts import Task
from attar.devices import find_device
from attar.errors import UsageError
from attar.evaluation import EvaluationSettings, evaluate_sets
from attar.given_sets import given_set
from attar.jobs import Workers, as_workers
from attar.plugins import CacheMode, GivenData, LoadRequest, Method, Selector, default_method
from attar.quantities import parse_bytes
from attar.recipe import Recipe, Resolved, resolve, size_of
from attar.registry import Registry
from attar.reports import Report
from attar.runner import StepRecord
from attar.runs import RunSettings, distill_recipe
from attar.settings import parse

__all__ = ["data_root", "distill", "evaluate", "from_arrays", "load_task", "name_of", "task"]


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder of data sets: `root`, else ``$ATTAR_DATA``, else the platform's cache folder."""
    import os

    if root is not None:
        return Path(root)
    given = os.environ.get("ATTAR_DATA")
    return Path(given) if given else cache_root() / "data"


def name_of(data: str, known: Mapping[str, str]) -> str:
    """Return the name that a recipe gives to data: known data's own, or a path's last part."""
    return data if data in known else Path(data).resolve().name


def load_task(
    resolved: Resolved,
    data: str,
    root: str | Path | None = None,
    download: bool = False,
    *,
    cache: CacheMode = "auto",
    show: bool = False,
) -> Task:
    """Load the data that a resolved recipe names.

    Args:
        resolved: The recipe.
        data: The name of a known data set, or the path of the user's own data.
        root: Folder of known data sets.
        download: Whether they may be downloaded.
        cache: Whether what is decoded from files is kept: ``disk``, ``none`` or ``auto``.
        show: Whether progress is shown.

    Raises:
        UsageError: If the data are missing or do not fit.
    """
    folder = data_root(root)
    if root is not None and not folder.is_dir():
        raise UsageError(f"there is no folder {str(root)!r}; give the folder of the data with --root")
    request = LoadRequest(
        data=data, root=folder, download=download, options=resolved.options, cache=cache, show=show
    )
    return resolved.modality.load(request)


def task(
    modality: str,
    *,
    data: Any,
    test_data: Any = None,
    classes: Sequence[str] | None = None,
    name: str = "given",
    root: str | Path | None = None,
    download: bool = False,
    cache: CacheMode = "auto",
    show: bool = False,
    registry: Registry | None = None,
    **options: Any,
) -> Task:
    """Load real data as a task.

    Data are named, lie at a path, or are given: a pair of samples ``(n, *feature)`` and
    integer labels ``(n,)`` as tensors or arrays, or a map-style data set of such pairs.

    Args:
        modality: Name of an installed modality, such as ``"image"``.
        data: Name of a known data set, the path of your own data, or the data themselves.
        test_data: The test split of given data, likewise; drawn from them where absent.
        classes: Names of the classes of given data; their numbers where absent.
        name: What given data are called in records and reports.
        root: Folder of known data sets; by default ``$ATTAR_DATA`` or the platform's cache folder.
        download: Whether a known data set may be downloaded into `root`.
        cache: Whether what is decoded from files is kept: ``disk``, ``none`` or ``auto``, which
            is ``disk`` where there is room.
        show: Whether the progress of long work, such as decoding, is shown on standard error.
        registry: The plugins known; by default all that are installed.
        options: The modality's own settings, such as ``validation=0.1``.

    Raises:
        UsageError: If the modality or the data are unknown, or a setting does not fit.
    """
    registry = registry or Registry()
    plugin = registry.get("modalities", modality)
    typed = parse(plugin.Options, options, "data.options")
    folder = data_root(root)
    if root is not None and not folder.is_dir():
        raise UsageError(f"there is no folder {str(root)!r}; give the folder of the data as root")
    given = None
    if not isinstance(data, str | Path):
        given = GivenData(train=data, test=test_data, classes=None if classes is None else tuple(classes))
    elif test_data is not None or classes is not None:
        raise UsageError("a test split and class names go with data given in Python, not with a name or path")
    request = LoadRequest(
        data=str(data) if given is None else name,
        root=folder,
        download=download,
        options=typed,
        given=given,
        cache=cache,
        show=show,
    )
    loaded: Task = plugin.load(request)
    return loaded


def distill(
    task: Task,
    *,
    method: str | Method | Selector | None = None,
    ipc: int | None = None,
    size: int | None = None,
    ratio: float | None = None,
    budget: int | str | None = None,
    ipc_policy: str = "error",
    balance: str = "balanced",
    steps: int | None = None,
    model: str | Callable[..., nn.Module] | None = None,
    parameterization: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    allow_inexact: bool = False,
    experts: str | Path | None = None,
    callbacks: Sequence[Callable[[StepRecord], None]] = (),
    frames: int = 0,
    log: Sequence[str] = (),
    show: bool = False,
    registry: Registry | None = None,
    **settings: Any,
) -> Artifact:
    """Distill a task into a small set, or select one from its real samples.

    One of `ipc`, `size`, `ratio` and `budget` says how large the set is; without one it has ten samples
    per class, or what a class has. Names and defaults are those of the command ``attar distill``.

    Args:
        task: The real data.
        method: Name of a method or of a selector, by default what suits the data, as their modality says;
            or one of your own that is not installed, called in the artifact by the name of its class.
        ipc: Samples per class.
        size: Samples in all.
        ratio: Samples per training sample.
        budget: Bytes of the set, at most: a number, or a text such as ``"100KB"``.
        ipc_policy: For classes with too few samples: ``error``, ``cap`` or ``repeat``.
        balance: Samples of each class: ``balanced`` or ``proportional`` to the data.
        steps: Steps of the method; None takes the method's own number.
        model: Text of an architecture, or a function called as ``model(feature, classes)`` that
            returns a fresh network; see :func:`attar.architectures.adopt`. None takes the data's.
        parameterization: How values are stored: the name of a parameterization, or its settings, with its
            ``name`` among them where it is not the method's own.
        seed: Seed of every draw: same seed and settings, same bytes.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:0``, ``mps``.
        precision: ``fp32``; ``bf16`` for networks that run in bfloat16; ``auto`` for that where it shortens
            the steps and the method loses nothing.
        out: Folder of the run, for its log, checkpoints and artifact; None keeps it in memory.
        resume: Continue an interrupted run in `out`.
        force: Replace a run in `out` once the new one is complete.
        allow_inexact: Resume under other versions, device, threads or code.
        experts: Folder of the experts that the method needs, if any; by default they are made and
            kept in the cache.
        callbacks: Called with a :class:`attar.runner.StepRecord` after each step.
        frames: How often the set is drawn into `out`, for an animation; 0 for never.
        log: Experiment trackers: ``tensorboard``, ``wandb`` or ``mlflow``.
        show: Whether progress is shown, in a notebook or on standard error.
        registry: The plugins known; by default all that are installed.
        settings: Further settings of the method, such as ``lr=0.1``; an unknown one is refused with
            those there are.

    Raises:
        UsageError: If something does not fit.

    Example:
        >>> import attar
        >>> task = attar.task("tensor", data="iris")
        >>> artifact = attar.distill(task, method="dm", ipc=2, steps=5, model="mlp,width=8")
        >>> artifact.decode().inputs.shape, artifact.manifest.size.bytes
        (torch.Size([6, 4]), 102)
        >>> path = artifact.save("iris-2")  # a folder; attar.load reads it again
    """
    registry = registry or Registry()
    if method is None:
        method = default_method(registry.get("modalities", task.modality))
    if not isinstance(method, str):
        method, registry = _own(method, registry)
    how = {"name": parameterization} if isinstance(parameterization, str) else dict(parameterization or {})
    if "name" in how:
        settings["parameterization"] = how.pop("name")
    if model is not None:
        task, settings["model"] = adopt(task, model)
    if steps is not None:
        settings["steps"] = steps
    nbytes = parse_bytes(budget) if isinstance(budget, str) else budget
    sizes = {"ipc": ipc, "total": size, "ratio": ratio, "bytes": nbytes}
    asked = {name: value for name, value in sizes.items() if value is not None}
    recipe = parse(
        Recipe,
        {
            "data": {"modality": task.modality, "name": task.name, "options": dict(task.options)},
            "size": size_of(
                {**asked, "policy": ipc_policy, "balance": balance}, "ipc, size, ratio and budget"
            ),
            "method": method,
            "objective": settings,
            "parameterization": how,
            "run": {"seed": seed, "precision": precision},
        },
        "",
    )
    resolved = resolve(recipe, registry)
    run_settings = RunSettings(
        out=None if out is None else Path(out),
        resume=resume,
        force=force,
        allow_inexact=allow_inexact,
        device=find_device(device),
        callbacks=callbacks,
        frames=frames,
        trackers=tuple(log),
        experts=None if experts is None else Path(experts),
        show=show,
    )
    return distill_recipe(task, resolved, run_settings, registry)


def _own(method: Method | Selector, registry: Registry) -> tuple[str, Registry]:
    """Return the name of a method that was given as such, and a registry that knows it."""
    if isinstance(method, type):
        raise UsageError(
            f"the method {method.__name__} is a class; give an object of it, as {method.__name__}()"
        )
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(method).__name__).lower()
    group = "selectors" if hasattr(method, "select") else "objectives"
    return name, registry.having(group, name, method)


def from_arrays(
    task: Task,
    arrays: Mapping[str, Any] | str | Path,
    *,
    seed: int = 0,
    registry: Registry | None = None,
) -> Artifact:
    """Return a set that other software made, to be evaluated, shown, exported or saved like any other.

    Args:
        task: The real data that the set stands for.
        arrays: NumPy arrays or tensors by name, or the path of a ``.npz`` file of them. All have
            ``labels``, integers ``(n,)``, and may have ``targets`` ``(n, classes)``: rows that are not
            negative and sum to 1 are probabilities, others real values learned with squared error.
            ``classes``, if given, must name those of the task. Samples are ``inputs``
            ``(n, *feature)`` in natural units, for images pixels from 0 (black) to 255 (white);
            nodes of a graph are ``features`` ``(n, d)``, scaled as models take them, with
            ``adjacency`` ``(n, n)``, or ``edges`` ``(2, E)`` and perhaps ``weights`` ``(E,)``, or
            neither where nodes stand alone.
        seed: Seed that the set was made with, if it is one of several.
        registry: The plugins known; by default all that are installed.

    Returns:
        An artifact of kind ``given``, stored as float32. What making it cost is not known and said
        to be nothing.

    Raises:
        UsageError: If an array is missing, unknown or does not fit the task, a file is damaged, or
            the modality takes no arrays.

    Example:
        >>> import attar, numpy
        >>> task = attar.task("tensor", data="iris")
        >>> flowers = numpy.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
        >>> artifact = attar.from_arrays(task, {"inputs": flowers, "labels": [0, 1, 2]})
        >>> artifact.manifest.kind, len(artifact.decode())
        ('given', 3)
    """
    return given_set(task, arrays, seed=seed, registry=registry)


def evaluate(
    sets: Artifact | Sequence[Artifact],
    task: Task,
    *,
    protocol: str | protocols.Protocol = "",
    baselines: str | Sequence[str] = "all",
    model: str | Callable[..., nn.Module] = "",
    architectures: Sequence[str | Callable[..., nn.Module]] = (),
    equal_bytes: bool = False,
    seed: int = 0,
    workers: Workers | str | None = None,
    cache: str | Path | None = None,
    show: bool = False,
    registry: Registry | None = None,
) -> Report:
    """Train fresh networks on a set, or on several of different seeds, and test each once.

    Args:
        sets: What :func:`distill`, :func:`from_arrays` or :func:`attar.load` returned.
        task: The real data, with the test split.
        protocol: Name of a protocol, or a protocol; by default what suits the data.
        baselines: ``all`` that suit the data, ``none``, or names such as ``("random", "herding")``.
        model: Architecture, as text or a function as in :func:`distill`; "" takes what the sets were
            distilled on.
        architectures: Further architectures, for a cross-architecture table.
        equal_bytes: Whether random real samples of as many bytes are evaluated too.
        seed: Seed of the networks.
        workers: Processes of this machine, by default one per processor, or a cluster; each network has
            one thread.
        cache: Folder of results that are kept, or None for the usual one.
        show: Whether the cost, progress and each figure as it is found are shown on standard error.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: If sets, data and settings do not fit together.

    Example:
        >>> import attar
        >>> task = attar.task("tensor", data="iris")
        >>> sets = [attar.distill(task, method="random", ipc=2, seed=seed) for seed in range(2)]
        >>> brief = attar.protocol("cpu-1", {"epochs": 2, "networks": 1})
        >>> report = attar.evaluate(sets, task, protocol=brief, baselines=("random",), workers=1)
        >>> report.accuracy.n, report.baselines["random"].n
        (2, 5)
    """
    chosen = protocols.as_protocol(protocol, task.protocols)
    task, named = adopt(task, model)
    others = []
    for each in architectures:
        task, other = adopt(task, each)
        others.append(other)
    how = EvaluationSettings(
        protocol=chosen,
        baselines=baselines,
        model=named,
        architectures=tuple(others),
        equal_bytes=equal_bytes,
        seed=seed,
        workers=as_workers(workers),
        cache=None if cache is None else Path(cache),
        show=show,
    )
    return evaluate_sets(task, [sets] if isinstance(sets, Artifact) else list(sets), how, registry)
