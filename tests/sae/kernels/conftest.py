"""Kernels are tested on one thread, unless a test asks for more."""

import pytest
import torch

from scaling_theory.sae.kernels import threads


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def set_threads(monkeypatch):
    """Any number of threads, which take part however small a step is."""
    monkeypatch.setattr(threads, "WORTH", 1)
    yield torch.set_num_threads
    torch.set_num_threads(1)
