"""Fetching, against a stand-in for huggingface_hub: nothing here needs a network."""

import sys
import types

import pytest

from scaling_theory.sae.formats import fetch_sae


class Errors(types.ModuleType):
    """The classes that matter, with the bases they have in huggingface_hub."""

    class EntryNotFoundError(Exception):
        pass

    class LocalEntryNotFoundError(FileNotFoundError, EntryNotFoundError):
        pass

    class RepositoryNotFoundError(OSError):
        pass

    class RevisionNotFoundError(OSError):
        pass

    class OfflineModeIsEnabled(ConnectionError):  # noqa: N818
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub whose repositories have one folder, "layer_2/sae"."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    module = types.ModuleType("huggingface_hub")
    module.errors = Errors("huggingface_hub.errors")
    module.calls, module.fails = [], None

    def answer(*call):
        module.calls.append(call)
        if module.fails is not None:
            raise module.fails
        (tmp_path / "layer_2" / "sae").mkdir(parents=True, exist_ok=True)
        (tmp_path / "layer_2" / "sae" / "params.npz").touch()

    def snapshot_download(repo_id, *, allow_patterns, revision):
        answer(repo_id, revision, tuple(allow_patterns))
        return str(tmp_path)

    def hf_hub_download(repo_id, filename, *, revision):
        answer(repo_id, revision, filename)
        return str(tmp_path / filename)

    module.snapshot_download, module.hf_hub_download = snapshot_download, hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", module.errors)
    return module


def test_a_folder_fetches_the_files_of_an_sae_and_no_others(hub, tmp_path):
    assert fetch_sae("a/b", "layer_2/sae", revision="main") == tmp_path / "layer_2" / "sae"
    ((repo, revision, patterns),) = hub.calls
    assert (repo, revision) == ("a/b", "main")
    assert "layer_2/sae/params.npz" in patterns
    assert "layer_2/sae/sae_weights.safetensors" in patterns
    assert not any("*" in pattern or not pattern.startswith("layer_2/sae/") for pattern in patterns)


def test_one_file(hub, tmp_path):
    assert fetch_sae("a/b", "layer_2/sae/params.npz") == tmp_path / "layer_2" / "sae" / "params.npz"
    assert hub.calls == [("a/b", None, "layer_2/sae/params.npz")]


def test_a_folder_without_an_sae(hub):
    with pytest.raises(FileNotFoundError, match=r"a/b/layer_3 has none of the files.*params\.npz"):
        fetch_sae("a/b", "layer_3")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ("RepositoryNotFoundError", FileNotFoundError, "is not on the Hub"),
        ("RevisionNotFoundError", FileNotFoundError, "at revision 'v1' is not on the Hub"),
        ("EntryNotFoundError", FileNotFoundError, "is not on the Hub"),
        ("LocalEntryNotFoundError", ConnectionError, "can't be reached"),
        ("OfflineModeIsEnabled", ConnectionError, "HF_HUB_OFFLINE"),
    ],
)
@pytest.mark.parametrize("path", ["layer_2/sae", "layer_2/sae/params.npz"])
def test_what_went_wrong_is_said_in_one_sentence(hub, error, kind, said, path):
    hub.fails = getattr(hub.errors, error)("first line\nsecond line")
    with pytest.raises(kind, match=said) as raised:
        fetch_sae("a/b", path, "v1")
    assert f"a/b/{path}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_another_error(hub):
    hub.fails = OSError("no space left")
    with pytest.raises(OSError, match=r"a/b/x could not be fetched: no space left"):
        fetch_sae("a/b", "x")


def test_offline_says_so_when_the_cache_lacks_it(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.fails = hub.errors.LocalEntryNotFoundError("not cached")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        fetch_sae("a/b", "layer_2/sae")
    hub.fails = None
    with pytest.raises(FileNotFoundError, match="of those in the cache"):
        fetch_sae("a/b", "layer_3")


@pytest.mark.parametrize(
    ("repo_id", "path", "said"),
    [
        ("gemma-scope", "x", "repo_id must be 'owner/name', got 'gemma-scope'"),
        ("a/b/c", "x", "repo_id must be"),
        ("/b", "x", "repo_id must be"),
        (3, "x", "repo_id must be"),
        ("a/b", "../x", "path must be relative"),
        ("a/b", "/x", "path must be relative"),
        ("a/b", "x/*", "wildcards"),
        ("a/b", None, "path must be text"),
    ],
)
def test_bad_names_are_refused_before_anything_is_asked(hub, repo_id, path, said):
    with pytest.raises(ValueError, match=said):
        fetch_sae(repo_id, path)
    assert hub.calls == []


def test_without_huggingface_hub_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(ImportError, match=r"pip install 'scaling-theory\[hub\]'"):
        fetch_sae("a/b", "x")
