"""What a continual run says: typed results, the same in Python, JSON and tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attar.reports import Score
from attar.settings import Record

__all__ = ["ContinualResult", "JobResult", "MethodResult", "summarized"]


class JobResult(Record):
    """One method on one stream.

    Attributes:
        method: The method.
        seed: Seed of the stream and of the network.
        test: Accuracy in percent, for each experience learned the accuracy on each test.
        validation: The same on held-out data; empty without such.
        counts: Samples of each test.
        held: Samples of each held-out test.
        memory: Stored samples after each experience.
        bytes: Bytes of the memory after each experience: of real samples in their cheapest lossless form,
            of distilled ones of all stored tensors.
        cpu: CPU seconds in all, tests left out.
        distilling: CPU seconds of them that distilling or selecting took.
    """

    method: str
    seed: int
    test: tuple[tuple[float, ...], ...]
    validation: tuple[tuple[float, ...], ...] = ()
    counts: tuple[int, ...]
    held: tuple[int, ...] = ()
    memory: tuple[int, ...] = ()
    bytes: tuple[int, ...] = ()
    cpu: float = 0.0
    distilling: float = 0.0

    @property
    def curve(self) -> tuple[float, ...]:
        """Accuracy on what was learned so far, after each experience, in percent."""
        return _curve(self.test, self.counts)

    @property
    def final(self) -> float:
        """Accuracy on all test data after the last experience, in percent."""
        return _weighted(self.test[-1], self.counts)

    @property
    def held_final(self) -> float | None:
        """The same on held-out data; None without such."""
        return _weighted(self.validation[-1], self.held) if self.validation else None

    @property
    def average(self) -> float:
        """Average incremental accuracy: the mean of :attr:`curve`."""
        return statistics.fmean(self.curve)

    @property
    def forgetting(self) -> float:
        """Mean over all tests but the last of how far accuracy fell from its best, in percentage points.

        A test counts from the experience on that it belongs to; the last one cannot have been forgotten.

        References:
            Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, section 3.
        """
        last = len(self.test) - 1
        # With one test for all, it is that one which is forgotten.
        tests = [0] if len(self.counts) == 1 else range(last)
        falls = [
            max(self.test[step][test] for step in range(min(test, last), last)) - self.test[last][test]
            for test in tests
            if last > 0
        ]
        return statistics.fmean(falls) if falls else 0.0


def _weighted(row: Sequence[float], counts: Sequence[int]) -> float:
    return sum(value * n for value, n in zip(row, counts, strict=True)) / sum(counts)


def _curve(matrix: Sequence[Sequence[float]], counts: Sequence[int]) -> tuple[float, ...]:
    single = len(counts) == 1
    ends = [1 if single else step + 1 for step in range(len(matrix))]
    return tuple(_weighted(row[:end], counts[:end]) for row, end in zip(matrix, ends, strict=True))


class MethodResult(Record):
    """A method over all streams; accuracies in percent.

    Attributes:
        final: Accuracy on all test data after the last experience.
        average: Average incremental accuracy: the mean, over experiences, of the accuracy on what was
            learned so far.
        forgetting: How far the accuracy on an experience fell from its best.
        validation: Accuracy on held-out data after the last experience; None without such.
        curve: Accuracy on what was learned so far, after each experience.
        memory: Stored samples at the end; 0 without a memory.
        bytes: Bytes of the memory at the end.
        cpu: CPU seconds of a stream, tests left out.
        distilling: Share of them that distilling or selecting took.
    """

    final: Score
    average: Score
    forgetting: Score
    validation: Score | None = None
    curve: tuple[Score, ...]
    memory: int = 0
    bytes: int = 0
    cpu: float = 0.0
    distilling: float = 0.0


class ContinualResult(Record):
    """A continual run.

    Attributes:
        methods: What came of each method, at equal count of stored samples.
        equal_bytes: What came of real samples that take as many bytes as the distilled ones.
        data: Name of the data.
        modality: Their modality.
        stream: What experiences bring, and how many there are.
        memory: How large memories may be.
        distiller: Method that memories are distilled with.
        architecture: The network.
        seeds: Seeds of the streams.
    """

    methods: dict[str, MethodResult]
    equal_bytes: dict[str, MethodResult] = {}
    data: str
    modality: str
    stream: str
    memory: str
    distiller: str
    architecture: str
    seeds: tuple[int, ...]


def summarized(jobs: Sequence[JobResult]) -> MethodResult:
    """Return what the streams of one method say together."""
    curves = zip(*(job.curve for job in jobs), strict=True)
    held = [job.held_final for job in jobs]
    cpu = statistics.fmean(job.cpu for job in jobs)
    return MethodResult(
        final=Score.of([job.final for job in jobs]),
        average=Score.of([job.average for job in jobs]),
        forgetting=Score.of([job.forgetting for job in jobs]),
        validation=Score.of([value for value in held if value is not None]) if None not in held else None,
        curve=tuple(Score.of(values) for values in curves),
        memory=jobs[0].memory[-1] if jobs[0].memory else 0,
        bytes=jobs[0].bytes[-1] if jobs[0].bytes else 0,
        cpu=round(cpu, 2),
        distilling=round(sum(job.distilling for job in jobs) / max(sum(job.cpu for job in jobs), 1e-9), 4),
    )
