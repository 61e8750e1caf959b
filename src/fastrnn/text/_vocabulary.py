"""Vocabularies: the characters or words of a text, and their ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._gate.arguments import (
    check_flag,
    check_ids,
    check_integer,
    check_integers,
    check_rank,
    check_several,
    check_text,
    shown,
)
from fastrnn._gate.text import check_source, check_token_list, check_vocabulary

PAD, UNK, BOS, EOS = SPECIALS = "<pad>", "<unk>", "<bos>", "<eos>"


class Vocabulary:
    """The distinct characters or words of a text; a token's position is its id.

    ``len(vocabulary)`` is their number, ``"cat" in vocabulary`` says whether there is
    such a token, and ``vocabulary["cat"]`` is its id.

    Attributes
    ----------
    tokens : list of str
        By id: `PAD`, `UNK`, `BOS`, `EOS` if requested, then the others: those of a text
        sorted, those of a list in its order.
    pad, unk, bos, eos : int or None
        The ids of the special tokens; None without them.
    words : bool
        Whether tokens are words; otherwise they are characters.

    Examples
    --------
    >>> vocabulary = fastrnn.text.Vocabulary("a rose is a rose")
    >>> ids = vocabulary.encode("rose")
    >>> vocabulary.decode(ids)
    'rose'
    >>> len(vocabulary)
    7
    """

    __module__ = "fastrnn.text"

    def __init__(
        self,
        text: str | Iterable[str] | None = None,
        *,
        tokens: Iterable[str] | None = None,
        words: bool = False,
        min_count: int = 1,
        max_size: int | None = None,
        pad: bool = False,
        unk: bool = False,
        bos: bool = False,
        eos: bool = False,
    ) -> None:
        """Collect the tokens of a text, or take those of a list.

        Parameters
        ----------
        text : str, or iterable of str
            One text or several.
        tokens : iterable of str, optional
            The tokens themselves, in place of a text, each once. The list may begin
            with special tokens, as the attribute `tokens` does.
        words : bool
            Whether to take words and punctuation marks, as `split_words` returns them,
            or characters.
        min_count : int
            Tokens of the text that occur less often are left out.
        max_size : int, optional
            So many tokens of the text are kept, the most frequent ones; of equally
            frequent ones those that are sorted first. Special tokens are not counted.
        pad : bool
            Whether to have a token that fills short rows; its id is 0.
        unk : bool
            Whether to have a token for everything outside the vocabulary; without it,
            `encode` refuses such text.
        bos, eos : bool
            Whether to have a token that begins a text, and one that ends it.

        Raises
        ------
        TypeError
            A type is wrong.
        ValueError
            A value is out of range, a token comes twice, or there are no tokens.
        """
        self.words = check_flag("words", words)
        least = check_integer("min_count", min_count, 1)
        most = None if max_size is None else check_integer("max_size", max_size, 1)
        flags = zip(SPECIALS, (pad, unk, bos, eos), strict=True)
        wanted = [name for name, flag in flags if check_flag(name.strip("<>"), flag)]
        texts = check_source(text, tokens, least, most)
        if texts is None:
            given, listed = check_token_list(tokens, SPECIALS, self.words)
            self._set([a for a in wanted if a not in given] + given, listed)
        else:
            self._set(wanted, self._most_frequent(texts, least, most))
        if not self.tokens:
            name = "text" if tokens is None else "tokens"
            raise ValueError(f"{name}: expected at least one token, got none")

    def _most_frequent(
        self, texts: list[str], least: int, most: int | None
    ) -> list[str]:
        """Return the tokens of texts, sorted."""
        counts: Counter[str] = Counter()
        for one in texts:
            counts.update(split_words(one) if self.words else one)
        found = [token for token, count in counts.items() if count >= least]
        if most is not None:
            found = sorted(found, key=lambda token: (-counts[token], token))[:most]
        return sorted(found)

    def _set(self, specials: list[str], tokens: list[str]) -> None:
        self.tokens = specials + tokens
        self.pad, self.unk, self.bos, self.eos = (
            specials.index(token) if token in specials else None for token in SPECIALS
        )
        self._first = len(specials)  # id of the first token that is not special
        # No text contains special tokens: they are no characters, and `split_words`
        # takes them apart.
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if not self.words:
            # Sorted to be searched; `_places` says where each is among the tokens.
            codes = code_points("".join(tokens))
            self._places = np.argsort(codes)
            self._codes = codes[self._places]

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        """Return whether there is such a token, a special one or another."""
        return check_text("token", token) in self._ids

    def __getitem__(self, token: str) -> int:
        """Return the id of a token; of an unknown one that of `UNK`.

        Raises
        ------
        KeyError
            The token is unknown, and there is no `UNK`.
        TypeError
            ``token`` is not a str.
        """
        found = self._ids.get(check_text("token", token), self.unk)
        if found is None:
            kind = "word" if self.words else "character"
            raise KeyError(f"token: {kind} {shown(token)} is not in the vocabulary")
        return found

    def __repr__(self) -> str:
        kind = "words" if self.words else "characters"
        return f"Vocabulary({len(self)} {kind})"

    def encode(
        self, text: str, *, bos: bool = False, eos: bool = False
    ) -> NDArray[np.int32]:
        """Return the ids of a text.

        Parameters
        ----------
        text : str
            Of any length, including 0.
        bos, eos : bool
            Whether to put the id of `BOS` before it, and that of `EOS` behind it.

        Returns
        -------
        [length] int32

        Raises
        ------
        TypeError
            ``text`` is not a str.
        ValueError
            A token is unknown and there is no `UNK`, or ``bos`` or ``eos`` is set and
            there is no such token.
        """
        check_text("text", text)
        first = [self.bos] if check_flag("bos", bos) else []
        last = [self.eos] if check_flag("eos", eos) else []
        for name, added in ("bos", first), ("eos", last):
            if None in added:
                raise ValueError(
                    f"{name}: expected a vocabulary with {name.upper()}, "
                    "got one without"
                )
        ids, known, tokens = (
            self._word_ids(text) if self.words else self._character_ids(text)
        )
        if not known.all():
            if self.unk is None:
                at = int(known.argmin())
                kind = "word" if self.words else "character"
                raise ValueError(
                    f"text: {kind} {tokens[at]!r} at {at} is not in the vocabulary"
                )
            ids[~known] = self.unk
        return np.concatenate([first, ids, last]).astype(np.int32)

    def _word_ids(self, text: str) -> tuple[Any, Any, Sequence[str]]:
        tokens = split_words(text)
        ids = np.array([self._ids.get(token, -1) for token in tokens], np.int64)
        return ids, ids >= 0, tokens

    def _character_ids(self, text: str) -> tuple[Any, Any, Sequence[str]]:
        codes = code_points(text)
        if not len(self._codes):
            return np.zeros(len(codes), np.int64), np.zeros(len(codes), bool), text
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        return self._places[at] + self._first, self._codes[at] == codes, text

    def decode(self, ids: ArrayLike | Iterable[int]) -> str:
        """Return the text of ids; `PAD`, `BOS` and `EOS` add nothing.

        Words are joined by spaces, except before ``.`` or after ``(`` and the like,
        because white space is not in the vocabulary.

        Raises
        ------
        TypeError
            ``ids`` are not integers.
        ValueError
            An id is outside the vocabulary.
        """
        if not isinstance(ids, np.ndarray):
            ids = check_several("ids", ids, "an array or a list of ids")
        a = check_integers("ids", ids, "iu", "an integer")
        check_rank("ids", a, "(length,)", 1)
        silent = (self.pad, self.bos, self.eos)
        checked = check_ids("ids", "id", a, len(self)).tolist()
        tokens = [self.tokens[i] for i in checked if i not in silent]
        return join_words(tokens) if self.words else "".join(tokens)

    def state_dict(self) -> dict[str, Any]:
        """Return a dict for `from_state_dict` that JSON can hold."""
        return {
            "words": self.words,
            "specials": self.tokens[: self._first],
            "tokens": self.tokens[self._first :],
        }

    @classmethod
    def from_state_dict(cls, d: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that `state_dict` described.

        Parameters
        ----------
        d : mapping
            ``words``, ``specials`` and ``tokens``; ids are the places in the two lists,
            one after the other, in whatever order tokens stand there.

        Raises
        ------
        KeyError
            An entry is missing.
        TypeError
            A type is wrong.
        ValueError
            A token comes twice, is empty, or has several characters without ``words``.
        """
        words, specials, tokens = check_vocabulary(d, SPECIALS)
        vocabulary = cls.__new__(cls)
        vocabulary.words = words
        vocabulary._set(specials, tokens)
        return vocabulary


def split_words(text: str) -> list[str]:
    """Return the words (with inner apostrophes) and punctuation marks of a text."""
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", check_text("text", text))


def join_words(tokens: Iterable[str]) -> str:
    """Join tokens with spaces, except where punctuation takes none."""
    listed = check_several("tokens", tokens, "a list of str")
    text = " ".join(check_text(f"tokens[{i}]", one) for i, one in enumerate(listed))
    return re.sub(r" ([.,;:!?)\]}%])", r"\1", re.sub(r"([(\[{]) ", r"\1", text))


def code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
