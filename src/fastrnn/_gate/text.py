"""The gate of `fastrnn.text`; see `fastrnn._gate.sequence`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._gate.arguments import (
    as_real,
    check_flag,
    check_ids,
    check_integer,
    check_integers,
    check_number,
    check_several,
    check_text,
    shown,
)
from fastrnn._types import FloatArray, IntArray

MOST_ID = 2**63 - 1


class How(NamedTuple):
    """How ids are drawn."""

    temperature: float
    top_k: int  # 0: all
    top_p: float


def check_how(temperature: Any, top_k: Any, top_p: Any) -> How:
    temperature = check_number("temperature", temperature)
    top_k = check_integer("top_k", top_k, 0)
    if not 0 <= as_real("top_p", top_p) <= 1:
        raise ValueError(f"top_p: expected 0 <= top_p <= 1, got {shown(top_p)}")
    return How(temperature, top_k, float(top_p))


def check_texts(texts: Any) -> list[str]:
    listed = check_several("text", texts, "a str or several")
    return [check_text(f"text[{i}]", one) for i, one in enumerate(listed)]


def check_source(
    text: Any, tokens: Any, least: int, most: int | None
) -> list[str] | None:
    """Return the texts of a vocabulary, or None where a list of tokens is given."""
    if tokens is None:
        return [text] if isinstance(text, str) else check_texts(text)
    if text is not None:
        raise ValueError("tokens: expected either text or tokens, got both")
    for name, value, default in ("min_count", least, 1), ("max_size", most, None):
        if value != default:
            raise ValueError(f"{name}: expected {default} with tokens, got {value}")
    return None


def check_token_list(
    tokens: Any, specials: tuple[str, ...], words: bool
) -> tuple[list[str], list[str]]:
    """Return the special tokens that a list begins with, and the others."""
    listed = check_several("tokens", tokens, "a list of str")
    first = 0
    while first < len(listed) and check_text(f"tokens[{first}]", listed[first]) in (
        specials
    ):
        first += 1
    expected = "a word" if words else "one character, or words=True"
    seen: set[str] = set()
    for i, token in enumerate(listed):
        where = f"tokens[{i}]"
        if i >= first:
            check_token(where, token, words, expected)
            if token in specials:
                raise ValueError(
                    f"{where}: expected special tokens first, got {shown(token)}"
                )
        check_new(where, token, seen)
    return listed[:first], listed[first:]


def check_vocabulary(
    d: Any, specials: tuple[str, ...]
) -> tuple[bool, list[str], list[str]]:
    """Return words, the special tokens and the others of a vocabulary's state dict."""
    if not isinstance(d, Mapping):
        raise TypeError(f"d: expected a dict of state_dict(), got {type(d).__name__}")
    missing = [name for name in ("words", "specials", "tokens") if name not in d]
    if missing:
        raise KeyError(
            f"d: expected words, specials and tokens, got no {' and no '.join(missing)}"
        )
    words = check_flag("d['words']", d["words"])
    lists = {}
    seen: set[str] = set()
    for name in ("specials", "tokens"):
        where = f"d[{name!r}]"
        lists[name] = check_several(where, d[name], "a list of str")
        for i, token in enumerate(lists[name]):
            where_i = f"{where}[{i}]"
            if name == "specials" and check_text(where_i, token) not in specials:
                listed = ", ".join(map(repr, specials))
                raise ValueError(f"{where_i}: expected {listed}, got {shown(token)}")
            if name == "tokens":
                expected = "a word" if words else "one character"
                check_token(where_i, token, words, expected)
            check_new(where_i, token, seen)
    if not seen:
        raise ValueError("d['tokens']: expected at least one token, got none")
    return words, lists["specials"], lists["tokens"]


def check_token(where: str, token: Any, words: bool, expected: str) -> None:
    length = len(check_text(where, token))
    if length == 0 or (length > 1 and not words):
        raise ValueError(f"{where}: expected {expected}, got {shown(token)}")


def check_new(where: str, token: str, seen: set[str]) -> None:
    if token in seen:
        raise ValueError(f"{where}: expected a new token, got {shown(token)} again")
    seen.add(token)


def check_prompt(prompt: Any, V: int | None, name: str = "prompt") -> IntArray:
    """Return a private copy, int64, as the ids that are drawn may not fit its dtype."""
    a = check_integers(name, prompt, "iu", "an integer")
    if a.ndim != 1 or not a.size:
        raise ValueError(f"{name}: expected shape (T,) with T >= 1, got {a.shape}")
    ids: IntArray = check_ids(name, "token", a, MOST_ID if V is None else V)
    return ids


def are_several(prompt: Any) -> bool:
    """Return whether these are several prompts: a list of arrays or of lists."""
    if not isinstance(prompt, (list, tuple)) or not prompt:
        return False
    first = prompt[0]
    if isinstance(first, np.ndarray):
        return first.ndim > 0
    return isinstance(first, (list, tuple))


def check_prompts(prompts: Any, V: int | None) -> list[IntArray]:
    """Return private copies of several prompts, int64."""
    return [check_prompt(p, V, f"prompt[{n}]") for n, p in enumerate(prompts)]


def check_step(step: Any) -> tuple[FloatArray, Any]:
    """Return the logits ``[V]`` and the state that a model gave for one row."""
    if not isinstance(step, (tuple, list)) or len(step) != 2:
        kind = type(step).__name__
        raise TypeError(f"model: expected to return (logits, state), got {kind}")
    logits, state = step
    if not isinstance(logits, np.ndarray) or logits.dtype.kind != "f":
        kind = getattr(logits, "dtype", type(logits).__name__)
        raise TypeError(f"model: expected to return floating logits, got {kind}")
    if logits.ndim != 3 or logits.shape[1] != 1 or not logits.size:
        raise ValueError(
            f"model: expected to return logits of shape (T, 1, V), got {logits.shape}"
        )
    return logits[-1, 0], state
