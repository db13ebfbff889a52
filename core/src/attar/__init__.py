"""Attar distills a large training set into a tiny one on which a model trains almost as well.

    >>> import attar
    >>> task = attar.task("tensor", data="digits")
    >>> task.classes[:3]
    ('0', '1', '2')

Names are imported when they are first used, so that ``import attar`` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attar.api import distill, evaluate, from_arrays, task
    from attar.artifact import Artifact, load
    from attar.batch import Batch
    from attar.comparison import Comparison, compare
    from attar.contracts import Augment, Domain, Loss, Objective, Source, Subject, SyntheticSet, Task
    from attar.errors import AttarError, DivergenceError, InternalError, PluginError, UsageError
    from attar.exports import export
    from attar.hub import push
    from attar.protocols import Protocol, protocol
    from attar.registry import PLUGIN_API, Registry
    from attar.reports import Report, Score
    from attar.trained import Trained, load_model, train
    from attar.uniting import union

_HOMES = {
    "Artifact": "artifact",
    "AttarError": "errors",
    "Augment": "contracts",
    "Batch": "batch",
    "Comparison": "comparison",
    "DivergenceError": "errors",
    "Domain": "contracts",
    "InternalError": "errors",
    "Loss": "contracts",
    "Objective": "contracts",
    "PLUGIN_API": "registry",
    "PluginError": "errors",
    "Protocol": "protocols",
    "Registry": "registry",
    "Report": "reports",
    "Score": "reports",
    "Source": "contracts",
    "Subject": "contracts",
    "SyntheticSet": "contracts",
    "Task": "contracts",
    "Trained": "trained",
    "UsageError": "errors",
    "compare": "comparison",
    "distill": "api",
    "evaluate": "api",
    "export": "exports",
    "from_arrays": "api",
    "load": "artifact",
    "load_model": "trained",
    "protocol": "protocols",
    "push": "hub",
    "task": "api",
    "train": "trained",
    "union": "uniting",
}

__all__ = [
    "PLUGIN_API",
    "Artifact",
    "AttarError",
    "Augment",
    "Batch",
    "Comparison",
    "DivergenceError",
    "Domain",
    "InternalError",
    "Loss",
    "Objective",
    "PluginError",
    "Protocol",
    "Registry",
    "Report",
    "Score",
    "Source",
    "Subject",
    "SyntheticSet",
    "Task",
    "Trained",
    "UsageError",
    "compare",
    "distill",
    "evaluate",
    "export",
    "from_arrays",
    "load",
    "load_model",
    "protocol",
    "push",
    "task",
    "train",
    "union",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("attar-core")
    if name not in _HOMES:
        raise AttributeError(f"module 'attar' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"attar.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
