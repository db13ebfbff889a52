from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attar.tensor.builtin import tensor_task
from attar.tensor.splits import SplitOptions


@pytest.fixture
def blobs():
    def make(*, counts=(24, 24, 24), feature=(4,), seed=0, **changes):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(len(counts)), counts)
        centers = rng.normal(size=(len(counts), *feature)) * 3
        values = (centers[labels] + rng.normal(size=(len(labels), *feature))).astype(np.float32)
        options = SplitOptions(validation=0.2, test=0.25)
        task = tensor_task(values, labels, name="blobs", options=options)
        return replace(task, **changes)

    return make
