"""Text for networks: vocabularies, vectors of words, sampling, beam search.

::

    text = fastrnn.text.read_text("text.txt")
    vocabulary = fastrnn.text.Vocabulary(text)
    ids = vocabulary.encode(text)
    ...
    prompt = vocabulary.encode("The ")
    ids = fastrnn.text.generate(model, prompt, 200, temperature=0.7, seed=0)
    print(vocabulary.decode(ids))
"""

from fastrnn.text._beam import Hypothesis, beam_search
from fastrnn.text._generate import generate
from fastrnn.text._reading import load_vectors, read_text
from fastrnn.text._sampling import choose
from fastrnn.text._vocabulary import (
    BOS,
    EOS,
    PAD,
    UNK,
    Vocabulary,
    join_words,
    split_words,
)

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Hypothesis",
    "Vocabulary",
    "beam_search",
    "choose",
    "generate",
    "join_words",
    "load_vectors",
    "read_text",
    "split_words",
]
