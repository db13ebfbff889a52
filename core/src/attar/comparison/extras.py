"""The trainings that a ranking needs beyond those of a comparison: other labels, other augmentation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from attar.architectures import coupled
from attar.artifact import Artifact
from attar.baselines import Baselines, Coresets
from attar.batch import Batch
from attar.comparison.networks import set_jobs
from attar.contracts import LabelKind, Task
from attar.evaluation_jobs import Evaluator, Job
from attar.files import write_file
from attar.jobs import persistently
from attar.portions import rows_at_once
from attar.protocols import Protocol, changed
from attar.rng import derive
from attar.training import TrainEpochs, fit

__all__ = ["Extras", "TeachJob", "teach"]

DRAWS = 5
"""Random draws, as of the baseline."""

_ROWS = 512


@dataclass(frozen=True)
class TeachJob:
    """A teacher to train on the whole data, and the samples that it is to label.

    Attributes:
        task: The real data.
        arch: Architecture.
        protocol: How it is trained.
        seed: Seed of the evaluation.
        samples: What it labels.
        path: File that the labels are kept in.
    """

    task: Task
    arch: str
    protocol: Protocol
    seed: int
    samples: tuple[Batch, ...]
    path: Path


def teach(job: TeachJob) -> str:
    """Label samples by a network trained on the whole data; return the file of the labels.

    It holds a tensor of probabilities ``(n, classes)`` for each batch, named by its number.
    """
    if job.path.is_file():
        return str(job.path)
    model = job.task.build(job.arch, derive(job.seed, "teacher", "network"))
    gen = derive(job.seed, "teacher", "fit")
    fit(model, TrainEpochs(job.task), job.protocol, gen, job.task.augment)
    model.eval()
    answers: dict[str, Tensor] = {}
    with torch.no_grad():
        for number, batch in enumerate(job.samples):
            parts = [batch] if coupled(model) else batch.chunks(rows_at_once(batch, _ROWS))
            answers[str(number)] = torch.cat([model(part.inputs).softmax(1) for part in parts])
    write_file(job.path, save(answers))
    return str(job.path)


class Extras:
    """Further networks on sets and on random samples.

    Rows are ``("hard", method, seed)`` for sets with hard instead of learned labels, ``("bare",
    method, seed)`` for sets with the other use of augmentation, and ``("random", kind)`` and
    ``("random-bare", kind)`` for random real samples with labels of a kind. Where the labels are
    no classes, a teacher trained on the whole data by the same protocol gives them.

    Args:
        evaluator: The comparison's.
        arch: Architecture of all networks.
        per_class: Samples of each class.
        dtype: Type that the sets are stored in.
        folder: Where the teacher's labels are kept.
    """

    def __init__(
        self, evaluator: Evaluator, arch: str, per_class: Sequence[int], dtype: str, folder: Path
    ) -> None:
        self._evaluator, self._arch, self._folder = evaluator, arch, folder
        self._per_class, self._dtype = tuple(per_class), dtype
        task, settings = evaluator.task, evaluator.settings
        other = changed(evaluator.protocol, {"augment": not evaluator.protocol.augment})
        bare = replace(settings, protocol=other, baselines=("random",))
        # Without any augmentation there are no two uses of it.
        self._bare = Evaluator(task, bare, evaluator.registry) if task.augment is not None else None

    def jobs(self, sets: Mapping[tuple[str, int], Artifact]) -> list[Job]:
        """Return the networks for sets of one size, by method and seed."""
        found: list[Job] = []
        kinds: dict[LabelKind, None] = {}
        for (method, seed), artifact in sets.items():
            kinds[artifact.syn.label_kind] = None
            if artifact.syn.label_kind != "hard":
                found += self._hard(("hard", method, str(seed)), artifact)
            if self._bare is not None:
                found += set_jobs(self._bare, ("bare", method, str(seed)), artifact, self._arch)
        if "hard" in kinds and self._bare is not None:
            bare = self._bare
            plain = Baselines(bare, ["random"], self._arch, self._per_class, self._dtype)
            found += [replace(job, row=("random-bare", "hard")) for job in plain.random()]
        soft = [kind for kind in kinds if kind != "hard"]
        return found + (self._labeled(soft) if soft else [])

    def _hard(self, row: tuple[str, ...], artifact: Artifact) -> list[Job]:
        batch = artifact.decode().constant()
        networks = self._evaluator.protocol.networks
        key = {"set": artifact.manifest.sha256, "labels": "hard"}
        return self._evaluator.jobs(row, replace(batch, targets=None), self._arch, networks, key=key)

    def _labeled(self, kinds: Sequence[LabelKind]) -> list[Job]:
        """Return the networks on random samples that a teacher labeled."""
        evaluator = self._evaluator
        coresets = Coresets(evaluator, self._per_class, self._arch, self._dtype)
        coresets.prepare(["random"], ["input"], range(DRAWS))
        samples = tuple(coresets.batch("random", "input", draw) for draw in range(DRAWS))
        about = evaluator.key(
            arch=self._arch, teacher=coresets.key("random", "input", 0), **evaluator.code(self._arch)
        )
        name = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12).hexdigest()
        job = TeachJob(
            task=evaluator.task,
            arch=self._arch,
            protocol=evaluator.protocol,
            seed=evaluator.settings.seed,
            samples=samples,
            path=self._folder / f"teacher-{name}.safetensors",
        )
        [(_, outcome)] = persistently(teach, [job], evaluator.settings.workers)
        if outcome.value is None:
            return []
        answers = load_file(outcome.value)
        found: list[Job] = []
        for kind in kinds:
            for draw, batch in enumerate(samples):
                targets = answers[str(draw)]
                if kind == "regression":
                    targets = targets - 1 / targets.shape[1]
                labeled = replace(batch, targets=targets)
                key = {**coresets.key("random", "input", draw), "labels": kind, "teacher": name}
                for row, each in (("random", evaluator), ("random-bare", self._bare)):
                    if each is not None:
                        found += each.jobs((row, kind), labeled, self._arch, 1, label_kind=kind, key=key)
        return found
