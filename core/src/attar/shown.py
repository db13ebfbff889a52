"""What a task shows of itself at the prompt and in notebooks."""

from __future__ import annotations

from attar.contracts import SPLITS, Task
from attar.notebook import pairs_html
from attar.plugins import Described

__all__ = ["task_html", "task_line"]

_MOST = 12


def _splits(task: Task) -> str:
    return ", ".join(f"{task.size(split):,} {split}" for split in SPLITS if task.size(split))


def task_line(task: Task) -> str:
    """Return name, modality, classes, shape and splits in one line."""
    return (
        f"<{type(task).__name__} {task.name!r} ({task.modality}): {len(task.classes)} classes, "
        f"samples {tuple(task.feature)}, {_splits(task)}>"
    )


def task_html(task: Task) -> str:
    """Return the same as a table, with what samples were brought to."""
    about = task.about if isinstance(task, Described) else {}
    names = list(map(str, task.classes))
    rows = {
        "data": f"{task.name} ({task.modality})",
        "classes": f"{len(names):,}: {', '.join(names[:_MOST])}{', …' if len(names) > _MOST else ''}",
        "shape": f"{' × '.join(map(str, task.feature))} ({', '.join(task.axes)})",
        "form": str(about.get("form", "")),
        "samples": _splits(task),
        "architecture": task.architecture,
    }
    return pairs_html({name: text for name, text in rows.items() if text})
