"""What an evaluation says: typed results, the same in Python, JSON and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attar.cost import Cost
from attar.differences import Difference
from attar.notebook import table_html
from attar.protocols import Protocol
from attar.settings import Record

__all__ = ["BaselineDetail", "EqualBytes", "Report", "Score", "Seconds"]


class Score(Record):
    """Accuracy in percent over several runs.

    Attributes:
        mean: Mean.
        std: Population standard deviation.
        n: Number of runs; a run is a pair of a set's seed and a network's seed.
    """

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Score:
        """Return the score of accuracies in percent."""
        return cls(
            mean=round(statistics.fmean(values), 4),
            std=round(statistics.pstdev(values), 4),
            n=len(values),
        )

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.std:.1f}"


class Seconds(Record):
    """CPU and wall seconds."""

    cpu: float
    wall: float

    @classmethod
    def of(cls, cost: Cost) -> Seconds:
        """Return the seconds of a cost."""
        return cls(cpu=round(cost.cpu, 2), wall=round(cost.wall, 2))


class BaselineDetail(Record):
    """How a baseline came about.

    Attributes:
        samples: Training samples per run.
        balanced: Mean test accuracy over the classes, in percent.
        space: Feature space, chosen on validation; None where there is none to choose.
        validation: Validation accuracy in each feature space tried.
        note: What else a reader should know.
    """

    samples: int
    balanced: Score | None = None
    space: str | None = None
    validation: dict[str, float] = {}
    note: str = ""


class EqualBytes(Record):
    """Real samples that take as many bytes as the set, in their cheapest lossless form."""

    samples: int
    bytes: int
    accuracy: Score


class Report(Record):
    """An evaluation.

    Attributes:
        method: Name of the method or selector that made the sets.
        accuracy: Test accuracy of networks trained on them.
        validation: Accuracy of the same networks on held-out training data, which choices
            between settings are made by; None without such data.
        n_sets: Number of sets.
        n_networks: Networks per set.
        baselines: Test accuracy of the baselines under the same protocol, at equal count.
        bytes: Bytes of all tensors of one set.
        bytes_on_disk: Bytes of its file.
        seconds: What making the sets cost, in all.
        protocol: The protocol.
        data: Name of the data.
        architecture: Architecture that was trained.
        samples: Decoded samples of one set.
        details: How each baseline came about.
        architectures: Test accuracy of the sets by other architectures.
        equal_bytes: Random real samples of as many bytes.
        evaluation_seconds: What this evaluation cost.
        balanced_accuracy: Mean test accuracy over the classes, which small classes count in as
            much as large ones.
        against: How much more accurate the sets are than each baseline but the whole data, by the paired
            bootstrap over test samples, and over sets or, of one set, networks; {} for learned labels.
        per_class: Test accuracy of each class that the test data have.
        confusion: Test samples by true class and answer, summed over all runs; None for very
            many classes.
        data_changed: Whether the data differ from those the sets were made of.
    """

    method: str
    accuracy: Score
    validation: Score | None = None
    n_sets: int
    n_networks: int
    baselines: dict[str, Score]
    bytes: int
    bytes_on_disk: int
    seconds: Seconds
    protocol: Protocol
    data: str
    architecture: str
    samples: int
    details: dict[str, BaselineDetail] = {}
    architectures: dict[str, Score] = {}
    equal_bytes: EqualBytes | None = None
    evaluation_seconds: Seconds = Seconds(cpu=0.0, wall=0.0)
    balanced_accuracy: Score | None = None
    against: dict[str, Difference] = {}
    per_class: dict[str, Score] = {}
    confusion: tuple[tuple[int, ...], ...] | None = None
    data_changed: bool = False

    def __repr__(self) -> str:
        """Return the accuracies in one line."""
        others = ", ".join(f"{name} {score}" for name, score in self.baselines.items())
        beside = f"; {others}" if others else ""
        return (
            f"<Report: {self.method} on {self.data} with {self.architecture}: {self.accuracy} % "
            f"(n = {self.accuracy.n}){beside}>"
        )

    __str__ = __repr__

    def _repr_html_(self) -> str:
        def row(name: str, score: Score, samples: int, space: str | None) -> tuple[str, ...]:
            return (name, f"{samples:,}", str(score), str(score.n), space or "")

        rows = [
            row(name, score, self.details[name].samples, self.details[name].space)
            for name, score in self.baselines.items()
            if name in self.details
        ]
        rows.append(row(self.method, self.accuracy, self.samples, None))
        title = f"{self.data}, {self.architecture}, protocol {self.protocol.name}"
        columns = ("trained on", "samples", "test accuracy, %", "n", "features")
        return table_html(title, columns, rows)
