"""SAEs that others published, and those trained here, as one object; read without unpickling.

- :func:`load_sae`: a file or folder of Gemma Scope, SAELens, dictionary_learning, OpenAI or
  sparsify; which of them is told by the files that are there.
- :func:`fetch_sae`: the same from the Hugging Face Hub, first (needs the ``hub`` extra).
- :meth:`PublishedSAE.from_weights`: an SAE trained by this package.
- :func:`save_sae`: a folder that SAELens (from version 6 on) and :func:`load_sae` read.

:class:`PublishedSAE` encodes and decodes as the project that made the file does.
"""

from scaling_theory.sae.formats._errors import FormatError
from scaling_theory.sae.formats.hub import fetch_sae
from scaling_theory.sae.formats.load import FORMATS, load_sae
from scaling_theory.sae.formats.published import PublishedSAE
from scaling_theory.sae.formats.save import save_sae

__all__ = ["FORMATS", "FormatError", "PublishedSAE", "fetch_sae", "load_sae", "save_sae"]
