"""Profiles of hypothesis (the same examples at every run, or new ones), and Ctrl-C."""

import signal

import pytest
from hypothesis import settings

# `make test` must say the same of the same code; `make test-all` looks for new examples.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", print_blob=True)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c():
    """Python's own Ctrl-C, which a shell that runs tests in the background takes away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
