"""The tables that the documentation quotes can be printed."""

import pytest

from scaling_theory.theory import __main__ as tables


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("conventions", ["150,717", "envelope's first step 3"]),
        ("limits", ["2.17e+13  (out of reach)", "0.4179"]),
        ("critical", ["G = -0.413300"]),
        ("parameters", ["alpha_N 0.34: alpha 0.34", "quanta hypothesis"]),
        ("norms", ["0.904534", "0.738549", "Bernoulli: rho = 1.0"]),
    ],
)
def test_tables(topic, said, capsys):
    assert tables.main([topic]) == 0
    printed = capsys.readouterr().out
    for fragment in said:
        assert fragment in printed


def test_unknown_topics_are_refused(capsys):
    assert tables.main(["banana"]) == 2
    assert "banana" in capsys.readouterr().err


def test_help_says_which_topics(capsys):
    assert tables.main(["--help"]) == 0
    assert "takeover" in capsys.readouterr().out
