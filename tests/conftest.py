"""Profiles of hypothesis: the same examples at every run, or new ones."""

from hypothesis import settings

# `make test` must say the same of the same code; `make test-all` looks for new examples.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", print_blob=True)
