from __future__ import annotations

import pytest
import torch
from hypothesis import settings

# Machines are busy: no test may fail for being slow, and a failure must come again.
settings.register_profile("attar", deadline=None, derandomize=True)
settings.load_profile("attar")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tests run side by side: threads that wait for a busy processor only slow each other down."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or leaves results in the user's cache."""
    monkeypatch.setenv("ATTAR_CACHE", str(tmp_path_factory.mktemp("cache")))
