"""Hypothesis profiles (the same examples at every run, or new ones), Ctrl-C, the command line."""

import json
import signal
import sys

import pytest
from hypothesis import settings

from scaling_theory.cli import main

# `make test` must say the same of the same code; `make test-all` looks for new examples.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("exploring", print_blob=True)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c():
    """Python's own Ctrl-C, which a shell that runs tests in the background takes away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(monkeypatch, capsys):
    """Call ``scaling-theory`` in this process: arguments -> (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["scaling-theory", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def ask(run):
    """The same with --json: arguments -> what it says, strictly JSON."""

    def call(*arguments):
        code, out, err = run(*arguments, "--json")
        assert code == 0, err

        def constant(text):
            raise AssertionError(f"{text} is not JSON")

        return json.loads(out, parse_constant=constant)

    return call


@pytest.fixture
def check_refused(run):
    """Check that arguments are refused in one line, with these fragments in it."""

    def call(arguments, *fragments):
        code, out, err = run(*arguments)
        assert code == 2
        assert out == ""
        assert len(err.splitlines()) == 1
        assert err.startswith("scaling-theory: error: ")
        for fragment in fragments:
            assert fragment in err

    return call
