"""The user's own code as an architecture: ``package.module:factory``, or a Python callable."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from torch import nn

from attar.architectures.source import installed
from attar.errors import UsageError
from attar.rng import derive, scoped

__all__ = ["adopt", "defined_in", "found", "importable", "is_code", "reason", "told"]

T = TypeVar("T")
_LONGEST = 300
_ATTAR = Path(__file__).resolve().parents[1]


def is_code(name: str) -> bool:
    """Return whether a name is that of code or of a family's member rather than a plain one."""
    return ":" in name


@contextmanager
def importable() -> Iterator[None]:
    """Let modules in the working directory be imported, after all that is installed."""
    place = os.getcwd()
    known = place in sys.path or "" in sys.path
    if not known:
        sys.path.append(place)
    try:
        yield
    finally:
        if not known and place in sys.path:
            sys.path.remove(place)


def reason(error: BaseException) -> str:
    """Return what an exception says in one line, and where in the user's code it was raised."""
    said = " ".join(str(error).split())
    said = f"{said[:_LONGEST]}…" if len(said) > _LONGEST else said
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {said}"
    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        # Of our own frames and those of libraries nobody can make use.
        if not (installed(path) or frame.filename.startswith("<") or _ATTAR in path.parents):
            where = f" ({path.name}, line {frame.lineno})"
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn an exception of code that is not ours into one sentence that begins with `what`.

    Raises:
        UsageError: In its place; the exception itself is its cause.
    """
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        # A factory that calls exit() has failed as well.
        raise UsageError(f"{what}: {reason(error)}; mend that, or choose another architecture") from error


def _module(module: str, name: str) -> ModuleType:
    importlib.invalidate_caches()
    try:
        # What a module draws when it is imported is drawn alike each time.
        with scoped(derive(0, "import")):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise UsageError(
                f"the architecture {name!r} is not found: there is no module {error.name!r}; install it, "
                f"or run where it lies (this is {os.getcwd()!r})"
            ) from error
        raise UsageError(f"the module {module!r} of {name!r} cannot be imported: {reason(error)}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"the module {module!r} of {name!r} cannot be imported: {reason(error)}") from error


def found(name: str) -> Callable[..., nn.Module]:
    """Import the factory that ``package.module:factory`` names.

    Raises:
        UsageError: If the module cannot be imported, has no such name, or it is nothing to call.
    """
    module, _, attribute = name.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    if not all(part.isidentifier() for part in parts):
        raise UsageError(
            f"the architecture {name!r} is not understood; write your own as package.module:factory"
        )
    value: Any = _module(module, name)
    for part in attribute.split("."):
        if not hasattr(value, part):
            close = difflib.get_close_matches(part, dir(value), n=1)
            meant = f"did you mean {close[0]!r}?" if close else "name a function or a class that it has"
            raise UsageError(f"the architecture {name!r} is not found: {module!r} has no {part!r}; {meant}")
        value = getattr(value, part)
    return _callable(value, repr(name))


def _callable(value: Any, named: str) -> Callable[..., nn.Module]:
    if isinstance(value, nn.Module):
        raise UsageError(
            f"{named} is a network; give what makes a fresh one: a function of the shape of a sample and "
            f"the number of classes"
        )
    if not callable(value):
        raise UsageError(
            f"{named} is no function but of type {type(value).__name__}; give a function of the shape of a "
            f"sample and the number of classes that returns a network"
        )
    factory: Callable[..., nn.Module] = value
    return factory


def defined_in(module: str, factory: Callable[..., nn.Module]) -> bool:
    """Return whether a callable is what an imported module holds under its name.

    It is not where it was made by another function, and then depends on more than source code.
    """
    value: Any = sys.modules.get(module)
    for part in factory.__qualname__.split("."):
        value = getattr(value, part, None)
    return value is factory


def adopt(task: T, model: str | Callable[..., nn.Module]) -> tuple[T, str]:
    """Return a task that knows a model, and the text that names the model to it.

    Args:
        task: The task. One that is to learn a callable has ``with_architecture(name, factory)``,
            which returns a task with one more architecture, as
            :meth:`attar.tensor.TensorTask.with_architecture` does.
        model: The text of an architecture, which is returned as it is, or a function or a class
            called as ``factory(feature, classes)``; it gets the name ``module:qualname``.

    Raises:
        UsageError: If the model is neither, has no name, or the task cannot learn it.
    """
    if isinstance(model, str):
        return task, model
    # A network prints as many lines.
    named = f"the model {type(model).__name__}(…)" if isinstance(model, nn.Module) else f"the model {model!r}"
    factory = _callable(model, named)
    module, qualname = (getattr(factory, key, None) for key in ("__module__", "__qualname__"))
    if not module or not qualname:
        raise UsageError(f"the model {model!r} has no name; wrap it in a function and give that")
    learn = getattr(task, "with_architecture", None)
    if not callable(learn):
        raise UsageError(
            f"data of modality {getattr(task, 'modality', '')!r} take no function as a model; "
            f"name it as 'package.module:factory'"
        )
    name = f"{module}:{qualname}"
    return learn(name, factory), name
