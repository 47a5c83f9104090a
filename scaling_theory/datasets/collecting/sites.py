"""Where in a transformer: a module, and whether its input or its output.

- ``"sum"``, the default: what a block's residual stream holds after the block, before any norm. In
  post-norm models (BERT) it is what enters the block's last layer norm, in pre-norm models (GPT-2,
  Llama) what the block returns.
- ``"hidden"``: what the block returns. In post-norm models that is after a layer norm, so with the
  norm's weight w and bias b, sum((x - b) / w) = 0 and mean(((x - b) / w)^2) = 1 for every row x:
  one dimension is missing and norms are constant, which a sparse autoencoder would have to learn.
- ``"attention"``, ``"mlp"``: what a sublayer adds to the residual stream.
- ``"path.of.module:input"`` or ``":output"``: anything else, in any model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

from scaling_theory import _validate

SITES = ("sum", "hidden", "attention", "mlp")


@final
@dataclass(frozen=True)
class _Blocks:
    """Where a kind of model has its blocks, and inside a block the sites."""

    blocks: str
    sum: str
    attention: str
    mlp: str
    hidden: str = ":output"


_BERT = _Blocks(
    "encoder.layer",
    sum="output.LayerNorm:input",
    attention="attention.output.dense:output",
    mlp="output.dense:output",
)
_LLAMA = _Blocks(
    "layers", sum=":output", attention="self_attn.o_proj:output", mlp="mlp.down_proj:output"
)
#: Sublayers whose outputs are normed before they are added.
_GEMMA2 = _Blocks(
    "layers",
    sum=":output",
    attention="post_attention_layernorm:output",
    mlp="post_feedforward_layernorm:output",
)
_KINDS = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    "mpnet": _Blocks(
        "encoder.layer",
        sum="output.LayerNorm:input",
        attention="attention.attn.o:output",
        mlp="output.dense:output",
    ),
    "distilbert": _Blocks(
        "transformer.layer",
        sum="output_layer_norm:input",
        attention="attention.out_lin:output",
        mlp="ffn.lin2:output",
    ),
    "gpt2": _Blocks("h", sum=":output", attention="attn.c_proj:output", mlp="mlp.c_proj:output"),
    "gpt_neox": _Blocks(
        "layers",
        sum=":output",
        attention="attention.dense:output",
        mlp="mlp.dense_4h_to_h:output",
    ),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma"), _LLAMA),
    **dict.fromkeys(("gemma2", "gemma3_text"), _GEMMA2),
}


def named(site: Any) -> bool:
    """Whether a site names a module itself, and no layer.

    Raises
    ------
    ValueError
        If it is no site at all.
    """
    if isinstance(site, str):
        if site in SITES:
            return False
        path, _, end = site.rpartition(":")
        if path and end in ("input", "output"):
            return True
    raise ValueError(
        f"site must be one of {', '.join(SITES)}, or 'module.path:input' or 'module.path:output', "
        f"got {site!r}"
    )


def module_of(module: Any, kind: str, layer: int, site: str) -> str:
    """Return a site as "module.path:input" or "module.path:output".

    Raises
    ------
    ValueError
        If the model has no such layer or module, or is of a kind whose blocks are not known.
    """
    if named(site):
        path = site.rpartition(":")[0]
        if path not in dict(module.named_modules()):
            top = ", ".join(name for name, _ in module.named_children())
            raise ValueError(
                f"site must name a module of the model, got {path!r}; its parts are {top}"
            )
        return site
    if kind not in _KINDS:
        raise ValueError(
            f"site {site!r} is known for models of the kinds {', '.join(_KINDS)}; for {kind!r} "
            "name a module: site='module.path:input' or 'module.path:output'"
        )
    known = _KINDS[kind]
    count = len(module.get_submodule(known.blocks))
    _validate.whole("layer", layer, low=1, high=count)
    inside, _, end = getattr(known, site).rpartition(":")
    return f"{known.blocks}.{layer - 1}{'.' if inside else ''}{inside}:{end}"


class _Reached(Exception):  # noqa: N818
    """The site was reached: nothing after it is needed."""


@final
class Listener:
    """Runs a model up to a site and no further."""

    def __init__(self, module: Any, where: str) -> None:
        self._module = module
        self._where = where
        self._caught: Any = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        """Hooks are there inside, and gone after."""
        path, _, end = self._where.rpartition(":")
        part = self._module.get_submodule(path)
        handle = (
            part.register_forward_pre_hook(self._before, with_kwargs=True)
            if end == "input"
            else part.register_forward_hook(self._after)
        )
        try:
            yield self
        finally:
            handle.remove()

    def run(self, ids: Any, mask: Any) -> Any:
        """Return what is there for a batch: (texts, tokens, dimension), a tensor.

        Raises
        ------
        ValueError
            If the site is not reached, or what is there is no vector for each token.
        """
        import torch

        self._caught = None
        with torch.inference_mode(), contextlib.suppress(_Reached):
            self._module(input_ids=ids, attention_mask=mask)
        found = self._caught
        self._caught = None
        if found is None:
            raise ValueError(f"site must be a module that is run, got {self._where!r}")
        shape = tuple(ids.shape)
        if isinstance(found, torch.Tensor) and tuple(found.shape[:-1]) == (shape[0] * shape[1],):
            found = found.reshape(*shape, -1)  # some models lay tokens of all texts in a row
        if not isinstance(found, torch.Tensor) or tuple(found.shape[:-1]) != shape:
            seen = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(
                f"site must have one vector for each token, (texts, tokens, dimension); "
                f"{self._where!r} has {seen} for {shape[0]} texts of {shape[1]} tokens"
            )
        return found

    def _before(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = (*args, *kwargs.values())
        self._caught = values[0] if values else None
        raise _Reached

    def _after(self, _: Any, __: tuple[Any, ...], output: Any) -> None:
        self._caught = output[0] if isinstance(output, (tuple, list)) else output
        raise _Reached
