"""What a comparison says: typed results, the same in Python, JSON, tables and plots."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attar.artifact import Environment
from attar.contracts import LabelKind
from attar.differences import Difference
from attar.notebook import table_html
from attar.protocols import Protocol
from attar.quantities import duration
from attar.reports import Score, Seconds
from attar.settings import Record

__all__ = ["Comparison", "EqualBytesRow", "Expected", "PlanRecord", "Ranking", "Row", "RowKind", "TrialRow"]

RowKind: TypeAlias = Literal["distilled", "selected", "baseline"]
"""Made by a method, chosen by a selector that is no baseline, or a baseline."""


class Ranking(Record):
    """How much of an accuracy is the samples' own, and not their labels' or the training's.

    With accuracies ``A`` as fractions:

    - ``IOR = A(set) − A(random)``, random real samples with labels of the same kind and the same
      training (improvement over random);
    - ``HLR = A(whole data) − A(set with hard labels)`` (hard label recovery; less is better);
    - ``LRS = (e^α − e^−1) / (e − e^−1)`` with ``α = ½ IOR − ½ HLR`` (label-robust score);
    - ``ARS``, the same of ``β = ½ (A(set) − A(random))`` with augmentation ``+ ½`` of it without
      (augmentation-robust score).

    Attributes:
        ior: IOR in percentage points, or None where random samples were not evaluated alike.
        hlr: HLR in percentage points, or None where it takes trainings that were not asked for.
        lrs: LRS in 0 to 1, or None where IOR or HLR is.
        ars: ARS in 0 to 1, or None where the set was not trained on both with and without
            augmentation.

    References:
        Li et al., "DD-Ranking: Rethinking the Evaluation of Dataset Distillation", 2025.
    """

    ior: float | None = None
    hlr: float | None = None
    lrs: float | None = None
    ars: float | None = None


class Row(Record):
    """A method at one size.

    Attributes:
        method: Name of the method, selector or baseline.
        kind: What it is.
        ipc: Stored samples per class; None for the whole data.
        labels: What the samples are labeled with: ``hard``, or learned ``probability`` or
            ``regression`` targets. Only figures of hard labels can be compared with the baselines'.
        accuracy: Test accuracy over all pairs of a set and a network; None if there is no set.
        between_sets: Population standard deviation of the sets' mean accuracies, in percent.
        validation: Accuracy of the same networks on held-out training data.
        balanced: Mean test accuracy over the classes.
        n_sets: Number of sets; of draws for random; 1 for the other baselines.
        n_networks: Networks per set.
        samples: Samples that a set decodes to.
        bytes: Bytes of all tensors of a set; of a baseline, of the samples in their cheapest
            lossless form.
        label_bytes: Bytes of these that are labels and targets.
        bytes_on_disk: Bytes of a set's file; None for a baseline, which is kept as its rows.
        seconds: What making a set cost, on average; None for a baseline.
        peak_bytes: Largest memory of a process that made a set.
        ranking: What part of the accuracy is the samples' own.
        against: How much more accurate a set with hard labels is than each other row of its size
            that nothing was learned for, by the paired bootstrap over test samples, and over sets
            or, of one set, networks.
        settings: The settings that the grid chose.
        trials: Points of the grid that were tried.
        space: Feature space of a coreset, chosen on validation.
        runs: Folders of the runs, below that of the comparison.
        problem: What went wrong, or "".
    """

    method: str
    kind: RowKind
    ipc: int | None
    labels: LabelKind = "hard"
    accuracy: Score | None = None
    between_sets: float | None = None
    validation: Score | None = None
    balanced: Score | None = None
    n_sets: int = 0
    n_networks: int = 0
    samples: int | None = None
    bytes: int | None = None
    label_bytes: int | None = None
    bytes_on_disk: int | None = None
    seconds: Seconds | None = None
    peak_bytes: int | None = None
    ranking: Ranking = Ranking()
    against: dict[str, Difference] = {}
    settings: dict[str, Any] = {}
    trials: int = 1
    space: str | None = None
    runs: tuple[str, ...] = ()
    problem: str = ""

    @property
    def least(self) -> Difference | None:
        """The difference from the best of those that nothing was learned for, if any."""
        return min(self.against.values(), key=lambda apart: apart.mean, default=None)


class EqualBytesRow(Record):
    """A set beside random real samples of as many bytes, each in its cheapest lossless form.

    Attributes:
        method: Name of the method.
        ipc: Stored samples per class.
        labels: What the set is labeled with.
        bytes: Bytes of the set.
        accuracy: Test accuracy of the set.
        random_samples: Random real samples.
        random_bytes: Their bytes; more than the set's where one sample per class is more.
        random: Their test accuracy.
    """

    method: str
    ipc: int
    labels: LabelKind
    bytes: int
    accuracy: Score
    random_samples: int
    random_bytes: int
    random: Score


class TrialRow(Record):
    """A point of the grid: a trial that a choice was made by, without any test figure.

    Attributes:
        method: Name of the method.
        ipc: Stored samples per class.
        settings: The settings tried; {} for the defaults.
        validation: Accuracy on held-out training data, or None if there is none.
        cpu: CPU seconds of making the sets and training the networks.
        chosen: Whether it was chosen.
        problem: What went wrong, or "".
    """

    method: str
    ipc: int
    settings: dict[str, Any]
    validation: Score | None = None
    cpu: float = 0.0
    chosen: bool = False
    problem: str = ""


class Expected(Record):
    """What a comparison takes at most, nothing of it being finished yet, from a few steps of each part.

    Attributes:
        sets_cpu: CPU seconds of all sets, apart from those of the `untold`.
        networks_cpu: CPU seconds of all networks, the baselines' and the choices between settings included.
        wall: Wall seconds in the processes that there are; None where a cluster works.
        untold: Methods whose sets are not counted: they learn nothing step by step, or need experts
            that are to be trained before.
    """

    sets_cpu: float
    networks_cpu: float
    wall: float | None
    untold: tuple[str, ...] = ()

    def __str__(self) -> str:
        without = f", without the sets of {', '.join(self.untold)}" if self.untold else ""
        wall = "" if self.wall is None else f"; {duration(self.wall)} in all"
        return (
            f"{duration(self.sets_cpu)} of CPU for sets{without}, "
            f"at most {duration(self.networks_cpu)} for networks{wall}"
        )


class PlanRecord(Record):
    """What will be done; ``attar compare --dry-run --json`` prints it.

    Attributes:
        modality: Name of the modality.
        data: Name of the data.
        fingerprint: Hash of their contents without the test split.
        architecture: Architecture that all networks have.
        methods: Methods and selectors that make sets; those that do not fit the data are `refused`.
        baselines: Baselines.
        ipc: Sizes.
        seeds: Seeds of the sets.
        trials: Sets made for choices between settings.
        sets: Sets made in all, at most.
        networks: Networks trained on sets, at most, the baselines' not counted.
        refused: Methods that do not fit these data, each with the reason.
        expected: What all of it takes on this machine, where that was asked for.
    """

    modality: str
    data: str
    fingerprint: str
    architecture: str
    methods: tuple[str, ...]
    baselines: tuple[str, ...]
    ipc: tuple[int, ...]
    seeds: tuple[int, ...]
    trials: int
    sets: int
    networks: int
    refused: dict[str, str]
    expected: Expected | None = None


class Comparison(Record):
    """A leaderboard: every method under one protocol; accuracies in percent.

    Attributes:
        data: Name of the data.
        modality: Name of the modality.
        classes: Number of classes.
        training_samples: Samples of the whole training data.
        architecture: Architecture that all networks have.
        protocol: How they were trained.
        seeds: Seeds of the sets.
        tune_seeds: Seeds of the sets that choices were made by.
        rows: At equal count: by size, figures of hard labels first, then by accuracy.
        equal_bytes: At equal bytes, which is never mixed with equal count.
        tuning: All points of the grid.
        seconds: What evaluating cost in this call; what was known before cost nothing.
        environment: Versions and machine.
        ranking: Whether the trainings that :class:`Ranking` takes were all made.
    """

    data: str
    modality: str
    classes: int
    training_samples: int
    architecture: str
    protocol: Protocol
    seeds: tuple[int, ...]
    tune_seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    equal_bytes: tuple[EqualBytesRow, ...] = ()
    tuning: tuple[TrialRow, ...] = ()
    seconds: Seconds = Seconds(cpu=0.0, wall=0.0)
    environment: Environment
    ranking: bool = False

    def __repr__(self) -> str:
        """Return what was compared, and the best of each size, in one line."""
        able = [row for row in self.rows if row.ipc is not None and row.accuracy is not None]
        best: dict[int | None, Row] = {}
        for row in sorted(able, key=lambda row: row.accuracy.mean if row.accuracy else 0.0):
            best[row.ipc] = row
        found = ", ".join(f"{row.method} {row.accuracy} % with {ipc} per class" for ipc, row in best.items())
        return (
            f"<Comparison on {self.data} with {self.architecture}: {len(self.rows)} rows"
            f"{'; best ' if found else ''}{found}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [
            (
                row.method,
                "" if row.ipc is None else str(row.ipc),
                row.problem if row.accuracy is None else str(row.accuracy),
                "" if row.bytes is None else f"{row.bytes:,}",
                f"{row.n_sets} × {row.n_networks}" if row.n_sets else "",
            )
            for row in self.rows
        ]
        title = f"{self.data}, {self.architecture}, protocol {self.protocol.name}"
        columns = ("trained on", "per class", "test accuracy, %", "bytes", "sets × networks")
        return table_html(title, columns, rows)
