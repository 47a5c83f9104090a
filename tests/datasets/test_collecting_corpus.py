"""Texts: what docstrings there are, files, duplicates, hashes."""

import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_theory import datasets
from scaling_theory.datasets.collecting import corpus
from scaling_theory.datasets.collecting.batches import batches, windows

SOURCE = '''"""Module docstring, which is long enough to be kept."""
raise RuntimeError("source is not run")

class A:
    """Class docstring, which is long enough to be kept.

    Less,
        indented.
    """

    if True:
        def f(self):
            """Function docstring, which is long enough too."""
            def g(): "Inner docstring, which is long enough to be kept."

    def h(self): "too short"

try:
    pass
except ValueError:
    async def k(): """Half a surrogate pair: \\ud800, which no UTF-8 can hold at all."""
finally:
    def f2(): """Function docstring, which is long enough too."""
'''


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution of two files, one of which can't be parsed."""
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "a.py").write_text(SOURCE)
    (tmp_path / "thing" / "broken.py").write_text("def (")
    info = tmp_path / "thing-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.5\n")
    (info / "RECORD").write_text("thing/a.py,,\nthing/broken.py,,\nthing/data.txt,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return "thing"


def test_docstrings_are_read_and_not_run(installed):
    found = datasets.docstrings([installed])
    assert found.texts == (
        "Module docstring, which is long enough to be kept.",
        "Class docstring, which is long enough to be kept.\n\nLess,\n    indented.",
        "Function docstring, which is long enough too.",
        "Inner docstring, which is long enough to be kept.",
    )
    assert found.duplicates == 1
    (source,) = found.sources
    assert source["version"] == "1.5"
    assert (source["files"], source["texts"]) == (2, 5)
    assert source["unreadable"] == ["thing/broken.py"]


def test_docstrings_of_mpmath():
    import mpmath

    found = datasets.docstrings(["mpmath"])
    assert datasets.docstrings(["mpmath"]).digest == found.digest
    assert found.sources[0]["version"] == mpmath.__version__
    assert found.sources[0]["unreadable"] == []
    assert len(set(found.texts)) == len(found.texts) > 200
    assert any(
        text.startswith("Computes a single, double or triple integral") for text in found.texts
    )


def test_the_digest_is_the_documented_one():
    found = corpus.as_corpus(["ab", "c", "ab", " \n"])
    assert found.texts == ("ab", "c")
    assert found.duplicates == 1
    data = b"".join(len(t).to_bytes(8, "little") + t for t in (b"ab", b"c"))
    assert found.digest == hashlib.sha256(data).hexdigest()
    assert corpus.as_corpus(["a", "bc"]).digest != found.digest


def test_paragraphs_of_files_are_texts(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("one\nline two\n \t\n\n\nthree é\n", encoding="utf-8")
    second.write_text("four", encoding="utf-8")
    assert corpus.as_corpus(str(first)).texts == ("one\nline two", "three é")
    assert corpus.as_corpus([first, second]).texts == ("one\nline two", "three é", "four")


def test_bad_texts_are_refused(tmp_path):
    binary = tmp_path / "x"
    binary.write_bytes(b"ok \xff")
    with pytest.raises(ValueError, match="with byte 0xff at 3"):
        corpus.as_corpus(binary)
    with pytest.raises(FileNotFoundError, match="no file"):
        corpus.as_corpus(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="not blank, got none"):
        corpus.as_corpus(["", "\n"])
    with pytest.raises(ValueError, match="UTF-8 can hold, got text 1"):
        corpus.as_corpus(["a", "\ud800"])
    for wrong in (3, [], [1], ["a", binary]):
        with pytest.raises(ValueError, match="text must be None, a Corpus"):
            corpus.as_corpus(wrong)
    with pytest.raises(ValueError, match="installed distributions, got 'no-such-thing'"):
        datasets.docstrings(["no-such-thing"])
    with pytest.raises(ValueError, match="not one text"):
        datasets.docstrings("numpy")


@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=40), st.integers(0, 39))
def test_windows_are_the_same_from_wherever_one_begins(lengths, which):
    texts = [range(n) for n in lengths]  # only lengths are looked at
    whole = list(windows(texts, 0))
    assert [i for window in whole for i in window] == list(range(len(texts)))
    begin = which % len(whole)
    assert list(windows(texts, whole[begin].start)) == whole[begin:]


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 1000))
def test_batches_hold_every_piece_once_and_no_more_than_they_may(lengths, most):
    import numpy as np

    found = [list(batch) for batch in batches(np.array(lengths, dtype=np.int64), most)]
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= most


def test_a_folder_is_no_text(tmp_path):
    for place in (tmp_path, str(tmp_path)):
        with pytest.raises(
            ValueError, match=r"text must be files or texts, got the folder .*rglob"
        ):
            corpus.as_corpus(place)
