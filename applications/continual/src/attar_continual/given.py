"""The data of an experience, as a task that can be distilled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attar.contracts import Task
from attar.errors import UsageError
from attar.plugins import Modality
from attar.registry import Registry
from attar.tensor.builtin import prepared_task
from torch import Tensor

from attar_continual.streams import TASK

__all__ = ["modality_of", "task_of"]


def task_of(experience: Any, classes: int = 0) -> Task:
    """Return the data of an experience as a task.

    Experiences of :class:`attar_continual.Stream` know theirs. Of others the samples are read, without the
    augmentation of training: tensors of one shape ``(*feature,)``, as a network takes them.

    Args:
        experience: An experience of Avalanche.
        classes: Number of classes at least, where more are to come than a benchmark says.

    Raises:
        UsageError: If there is no sample, or samples are no tensors of one shape.
    """
    known = getattr(experience, TASK, None)
    if known is not None:
        found: Task = known
        return found
    number = experience.current_experience
    data = experience.dataset.eval()
    if not len(data):
        raise UsageError(f"experience {number} has no samples; leave it out of the stream")
    labels = np.asarray([int(label) for label in data.targets], dtype=np.int64)
    values = _values(data, number)
    benchmark = getattr(experience, "benchmark", None)
    names = max(classes, int(labels.max()) + 1, getattr(benchmark, "n_classes", 0) or 0)
    return prepared_task(values.numpy(), labels, tuple(str(label) for label in range(names)), "experience")


def _values(data: Any, number: int) -> Tensor:
    samples: list[Tensor] = []
    for place in range(len(data)):
        sample = data[place][0]
        if not isinstance(sample, Tensor) or not sample.ndim:
            raise UsageError(
                f"sample {place} of experience {number} is {type(sample).__name__}, not a tensor (*feature); "
                f"make tensors of them by a transform, or make the stream of a task with attar_continual"
            )
        if not sample.is_floating_point():
            kind = str(sample.dtype).removeprefix("torch.")
            raise UsageError(
                f"sample {place} of experience {number} holds {kind}, such as words by number, between which "
                f"there is nothing to distill; give real numbers, such as embeddings"
            )
        if samples and sample.shape != samples[0].shape:
            raise UsageError(
                f"samples of experience {number} have shapes {tuple(samples[0].shape)} and "
                f"{tuple(sample.shape)}; bring them to one shape by a transform"
            )
        samples.append(sample)
    return torch.stack(samples).to(torch.float32)


def modality_of(task: Task, registry: Registry) -> Modality:
    """Return the modality of a task."""
    found: Modality = registry.get("modalities", task.modality)
    return found
