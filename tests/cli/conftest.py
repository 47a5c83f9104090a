"""Call ``scaling-theory`` in the test's own process."""

import json
import sys

import pytest

from scaling_theory.cli import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Arguments -> (exit code, stdout, stderr)."""

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
def refuses(run):
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
