"""Laws of a task: what is loaded, drawn, passed over and divided."""

from __future__ import annotations

import torch
from torch import Tensor

from attar.batch import Batch
from attar.contracts import Split, Task
from attar.plugins import Shared
from attar.rng import derive
from attar.settings import parse
from attar.testing.compare import floats, same_batch, surplus
from attar.testing.laws import require
from attar.testing.modality_case import ModalityCase
from attar.testing.shared import is_json

__all__ = ["TASK_LAWS"]

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def law_task_is_complete(case: ModalityCase) -> None:
    """Loading gives a task with everything that the contract names."""
    wanted = [name for name in vars(Task) if not name.startswith("_")]
    missing = [name for name in wanted if not hasattr(case.task, name)]
    require(not missing, f"its task lacks {', '.join(missing)}")
    require(
        case.name is None or case.task.modality == case.name,
        f"its task says that it is of modality {case.task.modality!r}",
    )
    classes = case.task.classes
    require(
        isinstance(classes, tuple) and len(set(classes)) == len(classes) > 0,
        f"its classes must be a tuple of distinct names, but are {classes!r}",
    )
    inputs = case.task.gather(torch.zeros(1, dtype=torch.int64)).inputs
    require(
        not case.task.averages or (isinstance(inputs, torch.Tensor) and inputs.is_floating_point()),
        "its task says that samples can be averaged, but they are more than real numbers",
    )
    sizes = {split: case.task.size(split) for split in _SPLITS}
    require(
        sizes["train"] == len(case.task.labels) > 0 and sizes["test"] > 0,
        f"its splits have the sizes {sizes}, with {len(case.task.labels)} training labels",
    )


def law_labels_are_in_range(case: ModalityCase) -> None:
    """Labels are int64 from 0 to below the number of classes, in every split."""
    task = case.task
    require(task.labels.dtype == torch.int64, f"its labels are {task.labels.dtype}, not int64")
    for split in _SPLITS:
        if not task.size(split):
            continue
        for batch in task.epoch(split, 512):
            low, high = int(batch.labels.min()), int(batch.labels.max())
            require(
                0 <= low <= high < len(task.classes),
                f"its {split} labels run from {low} to {high} for {len(task.classes)} classes",
            )


def law_counts_match_labels(case: ModalityCase) -> None:
    """Counts are the numbers of training labels, as int64."""
    require(case.task.counts.dtype == torch.int64, f"its counts are {case.task.counts.dtype}, not int64")
    expected = torch.bincount(case.task.labels, minlength=len(case.task.classes)).tolist()
    found = case.task.counts.tolist()
    require(found == expected, f"its counts are {found}, but there are {expected} labels")


def law_license_is_named(case: ModalityCase) -> None:
    """The license of the data is a name, or ``unknown``."""
    found = case.task.license
    named = isinstance(found, str) and bool(found.strip())
    require(named, f"the license of its data must be a name or 'unknown', but is {found!r}")


def law_batches_are_finite_floats(case: ModalityCase) -> None:
    """Batches come preprocessed: finite float32 values, as many rows as labels."""
    for split in _SPLITS:
        if not case.task.size(split):
            continue
        batch = next(iter(case.task.epoch(split, 64)))
        kinds = {tensor.dtype for tensor in floats(batch)}
        require(kinds <= {torch.float32}, f"its {split} batches hold {kinds}, not float32")
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in floats(batch))
        require(finite, f"its {split} batches hold NaN or infinite values")


def law_draw_is_limited(case: ModalityCase) -> None:
    """A draw gives up to n samples of each label asked for, and no other."""
    task = case.task
    labels = task.labels.unique().tolist()
    asked = [labels[0], labels[-1]] if len(labels) > 1 else labels
    for n in (2, int(task.counts.max())):
        batch = task.draw(n, derive(0, "kit", "draw"), asked)
        found = torch.bincount(batch.labels, minlength=len(task.classes)).tolist()
        expected = [min(n, count) if i in asked else 0 for i, count in enumerate(task.counts.tolist())]
        require(found == expected, f"a draw of {n} of the labels {asked} gave {found}, not {expected}")
    free = len(task.draw(3, derive(0, "kit", "draw")))
    require(free == min(3, len(task.labels)), f"a draw of 3 of any label gave {free} samples")


def law_draw_does_not_repeat(case: ModalityCase) -> None:
    """A draw is without replacement."""
    n = max(1, int(case.task.counts.max()) - 1)
    for labels in (case.task.labels.unique().tolist(), None):
        keys = case.keys(case.task.draw(n, derive(0, "kit", "repeat"), labels))
        # Only what is in the training data at all: another law sees to the rest.
        known = set(case.train_keys)
        repeated = surplus([key for key in keys if key in known], case.train_keys)
        require(repeated == 0, f"{repeated} of {len(keys)} samples of one draw were drawn twice")


def law_draw_comes_from_train(case: ModalityCase) -> None:
    """A draw gives training samples with their labels."""
    keys = case.keys(case.task.draw(3, derive(0, "kit", "train"), case.task.labels.unique().tolist()))
    strange = len(set(keys) - set(case.train_keys))
    require(strange == 0, f"{strange} of {len(keys)} samples drawn are no training samples")


def law_draw_follows_generator(case: ModalityCase) -> None:
    """The same generator gives the same draw, another one another draw."""
    n = max(1, int(case.task.counts.max()) // 2)
    for labels in (case.task.labels.unique().tolist(), None):
        one, again, other = (case.task.draw(n, derive(seed, "kit", "gen"), labels) for seed in (0, 0, 1))
        require(same_batch(one, again), "two draws from equal generators differ")
        # Rows in their context may differ in nothing but which rows they are.
        require(case.keys(one) != case.keys(other), "draws from different generators are equal")


def law_epoch_covers_split_once(case: ModalityCase) -> None:
    """A pass gives every sample once, in batches of at most the size asked for.

    A graph may give all of its nodes as one batch.
    """
    n, size = len(case.task.labels), len(case.task.labels) // 4 + 1
    for gen in (None, derive(0, "kit", "epoch")):
        batches = list(case.task.epoch("train", size, gen))
        most = max(len(batch) for batch in batches)
        require(most <= size or len(batches) == 1, f"a batch of {most} rows came where {size} were asked for")
        keys = [key for batch in batches for key in case.keys(batch)]
        twice, never = surplus(keys, case.train_keys), surplus(case.train_keys, keys)
        require(not twice and not never, f"of {n} samples a pass left out {never} and repeated {twice}")
    for split in _SPLITS[1:]:
        wanted = case.task.size(split)
        found = sum(len(batch) for batch in case.task.epoch(split, size)) if wanted else 0
        require(found == wanted, f"a pass over {split} gave {found} of {wanted} samples")


def law_epoch_follows_generator(case: ModalityCase) -> None:
    """The generator decides the order of a pass; without one the order is that of the rows."""

    def order(gen: torch.Generator | None) -> list[object]:
        return [key for batch in case.task.epoch("train", 64, gen) for key in case.keys(batch)]

    require(
        order(None) == list(case.train_keys), "a pass without a generator is not in the order of the rows"
    )
    one = order(derive(0, "kit", "order"))
    require(one == order(derive(0, "kit", "order")), "two passes with equal generators differ in order")
    require(one != order(derive(1, "kit", "order")), "passes with different generators have the same order")


def law_gather_gives_the_rows(case: ModalityCase) -> None:
    """``gather`` and ``view`` give the rows meant, in their order, and ``vectors`` one vector each."""
    rows = case.few.flip(0)
    expected = [case.train_keys[row] for row in rows.tolist()]
    for name in ("gather", "view"):
        batch = getattr(case.task, name)(rows)
        require(
            torch.equal(batch.labels, case.task.labels[rows]), f"{name} gives other labels than the rows'"
        )
        require(list(case.keys(batch)) == expected, f"{name} gives other samples than the rows meant")
    vectors = case.task.vectors(rows)
    require(
        vectors.ndim == 2 and len(vectors) == len(rows) and vectors.dtype == torch.float32,
        f"vectors of {len(rows)} rows are {vectors.dtype} of shape {tuple(vectors.shape)}",
    )


def law_raw_bytes_add_up(case: ModalityCase) -> None:
    """Raw bytes count every row, labels included, and no row that is not asked for."""
    each = [case.task.raw_bytes(row[None]) for row in case.few]
    some, whole = case.task.raw_bytes(case.few), case.task.raw_bytes(torch.arange(len(case.task.labels)))
    require(min(each) > 1, f"a sample with its label takes {min(each)} bytes")
    # Together they may take less than apart, or more by what joins them.
    require(max(each) < some, f"{len(each)} rows of {sum(each)} bytes take {some} together")
    require(some < whole, f"{len(each)} rows take {some} bytes, and all {len(case.task.labels)} take {whole}")


def _check_part(case: ModalityCase, part: Task, rows: Tensor, name: str) -> None:
    whole = case.task
    same = (
        part.classes == whole.classes
        and part.axes == whole.axes
        and dict(part.preprocessing) == dict(whole.preprocessing)
    )
    require(same, f"{name} changes classes, axes or preprocessing")
    require(torch.equal(part.labels, whole.labels[rows]), f"{name} has other labels than the rows meant")
    expected = torch.bincount(part.labels, minlength=len(whole.classes)).tolist()
    require(part.counts.tolist() == expected, f"{name} has counts {part.counts.tolist()}, not {expected}")
    keys = case.keys(part.view(torch.arange(len(part.labels))))
    require(
        list(keys) == [case.train_keys[row] for row in rows.tolist()],
        f"{name} holds other samples than the rows meant",
    )


def law_subset_keeps_context(case: ModalityCase) -> None:
    """A subset has the rows meant, with the classes and the statistics of the whole."""
    rows = case.all_rows[::2]
    part = case.task.subset(rows)
    _check_part(case, part, rows, "a subset")
    require(part.fingerprint != case.task.fingerprint, "a subset has the fingerprint of the whole")


def law_partition_is_disjoint(case: ModalityCase) -> None:
    """A partition gives one task per part, each with its own rows only."""
    parts = [case.all_rows[::2], case.all_rows[1::2]]
    tasks = case.task.partition(parts, derive(0, "kit", "partition"))
    require(len(tasks) == len(parts), f"a partition in {len(parts)} parts gave {len(tasks)} tasks")
    for index, (part, rows) in enumerate(zip(tasks, parts, strict=True)):
        _check_part(case, part, rows, f"part {index}")


def law_shared_keeps_the_samples(case: ModalityCase) -> None:
    """As a part of others with a class more, data have the same samples under the others' numbers."""
    task = case.task
    if not isinstance(task, Shared):
        return
    classes = ("a class of others", *reversed(task.classes))
    found = task.shared(classes, dict(task.preprocessing))
    number = torch.tensor([classes.index(name) for name in task.classes])
    same = found.classes == classes and torch.equal(found.labels, number[task.labels])
    require(same, "shared data do not have the classes of all, or not their numbers")
    require(int(found.counts[0]) == 0, "shared data have samples of a class that they lack")
    rows = case.all_rows[:6]
    mine, theirs = task.view(rows), found.view(rows)
    require(
        same_batch(mine, Batch(theirs.inputs, mine.labels, theirs.targets)),
        "shared data hold other samples than before",
    )


def law_view_reaches_every_split(case: ModalityCase) -> None:
    """Rows of held-out and test data are viewed as a pass over them yields them."""
    for split in ("validation", "test"):
        n = case.task.size(split)
        if not n:
            continue
        whole = Batch.cat(list(case.task.epoch(split, n)))
        rows = torch.arange(n).flip(0)[:5]
        seen = case.task.view(rows, split)
        same = torch.equal(seen.labels, whole.labels[rows])
        require(
            same and case.keys(seen) == case.keys(whole.take(rows)),
            f"rows of the {split} data are not viewed as a pass over them yields them",
        )


def law_preprocessing_is_json(case: ModalityCase) -> None:
    """Preprocessing is made of JSON values, since the artifact stores it."""
    values = dict(case.task.preprocessing)
    require(is_json(values), f"its preprocessing is not made of JSON values: {values!r:.200}")


def law_options_are_those_given(case: ModalityCase) -> None:
    """A task knows the settings it was loaded with, since the artifact stores them."""
    values = dict(case.task.options)
    require(is_json(values), f"its options are not made of JSON values: {values!r:.200}")
    given = parse(case.settings_class, case.source.options, "data.options").model_dump(mode="json")
    found = parse(case.settings_class, values, "data.options").model_dump(mode="json")
    require(found == given, f"its options are {found!r}, but it was loaded with {given!r}")


TASK_LAWS = (
    law_task_is_complete,
    law_license_is_named,
    law_labels_are_in_range,
    law_counts_match_labels,
    law_batches_are_finite_floats,
    law_draw_is_limited,
    law_draw_does_not_repeat,
    law_draw_comes_from_train,
    law_draw_follows_generator,
    law_epoch_covers_split_once,
    law_epoch_follows_generator,
    law_gather_gives_the_rows,
    law_raw_bytes_add_up,
    law_subset_keeps_context,
    law_partition_is_disjoint,
    law_shared_keeps_the_samples,
    law_view_reaches_every_split,
    law_preprocessing_is_json,
    law_options_are_those_given,
)
