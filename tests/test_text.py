"""Vocabularies, and drawing from logits."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.text import Vocabulary, choose, generate, join_words, split_words
from tests.errors import bad_values, raises

SPECIAL = {"pad": True, "unk": True, "eos": True}
TEXT = "The dog's bone (the big one) is gone, isn't it? Gone!"


# --- vocabularies --------------------------------------------------------------------


def test_characters_go_there_and_back() -> None:
    vocabulary = Vocabulary("zażółć 🐍\n" * 2)
    assert "".join(vocabulary.tokens) == "\n azóćłż🐍"
    ids = vocabulary.encode("ża🐍")
    assert ids.dtype == np.int32
    assert ids.tolist() == [7, 2, 8]
    assert vocabulary.decode(ids) == "ża🐍"
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode([]) == ""
    assert len(vocabulary) == 9
    assert repr(vocabulary) == "Vocabulary(9 characters)"
    assert (vocabulary.pad, vocabulary.unk, vocabulary.eos) == (None, None, None)
    assert vocabulary.bos is None


def test_what_is_no_character_goes_there_and_back() -> None:
    """Python reads bytes that are not UTF-8 in this way, with ``surrogateescape``."""
    text = b"a\xff".decode("utf-8", "surrogateescape")
    vocabulary = Vocabulary(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_words_go_there_and_back() -> None:
    vocabulary = Vocabulary(TEXT, words=True, **SPECIAL)
    assert vocabulary.tokens[:3] == ["<pad>", "<unk>", "<eos>"]
    assert (vocabulary.pad, vocabulary.unk, vocabulary.eos) == (0, 1, 2)
    assert vocabulary.tokens[3:] == sorted(set(split_words(TEXT)))
    ids = vocabulary.encode(TEXT, eos=True)
    assert ids[-1] == 2
    assert vocabulary.decode(ids) == TEXT
    assert vocabulary.decode([0, 0, 1, 2]) == "<unk>"


@pytest.mark.parametrize("words", [False, True], ids=["characters", "words"])
def test_what_is_rare_or_new_is_unknown(words: bool) -> None:
    text = "b a b c d d".replace(" ", " " if words else "")
    vocabulary = Vocabulary(text, words=words, min_count=2, unk=True, eos=True)
    assert vocabulary.tokens == ["<unk>", "<eos>", "b", "d"]
    join = " " if words else ""
    ids = vocabulary.encode(join.join("abxd"), eos=True)
    assert ids.tolist() == [0, 2, 0, 3, 1]
    rare = Vocabulary("abc", words=words, min_count=9, unk=True)
    assert rare.encode(join.join("abc")).tolist() == [0] * 3


def test_several_texts_are_one() -> None:
    assert Vocabulary(["ab", "cb"]).tokens == Vocabulary("abcb").tokens
    lines = Vocabulary(iter(["a b", "c"]), words=True)
    assert lines.tokens == ["a", "b", "c"]


@pytest.mark.parametrize("words", [False, True], ids=["characters", "words"])
def test_state_dict_through_json(words: bool) -> None:
    vocabulary = Vocabulary(TEXT, words=words, bos=True, **SPECIAL)
    d = json.loads(json.dumps(vocabulary.state_dict()))
    other = Vocabulary.from_state_dict(d)
    assert vars(other).keys() == vars(vocabulary).keys()
    assert other.tokens == vocabulary.tokens
    np.testing.assert_array_equal(other.encode(TEXT), vocabulary.encode(TEXT))
    assert (other.pad, other.unk, other.bos, other.eos) == (0, 1, 2, 3)


def test_words_and_punctuation() -> None:
    assert split_words("Don't — stop (now)!") == [
        "Don't",
        "—",
        "stop",
        "(",
        "now",
        ")",
        "!",
    ]
    assert join_words(["a", "(", "b", ")", ",", "c", "."]) == "a (b), c."


def test_the_most_frequent_tokens() -> None:
    text = "d c c b b b a a a a e"
    two = Vocabulary(text, words=True, max_size=2, unk=True, eos=True)
    assert two.tokens == ["<unk>", "<eos>", "a", "b"]
    assert two.encode("a c").tolist() == [2, 0]
    # Of d and e, which are equally frequent, the one that is sorted first.
    assert Vocabulary(text, words=True, max_size=4).tokens == ["a", "b", "c", "d"]
    assert Vocabulary(text, words=True, max_size=9).tokens == list("abcde")
    both = Vocabulary(text, words=True, max_size=4, min_count=3)
    assert both.tokens == ["a", "b"]
    assert Vocabulary("aabbbc", max_size=1).tokens == ["b"]


def test_tokens_of_a_list_keep_their_order() -> None:
    words = Vocabulary(tokens=["the", "cat", "New York"], words=True, bos=True)
    assert words.tokens == ["<bos>", "the", "cat", "New York"]
    assert words.encode("cat the", bos=True).tolist() == [0, 2, 1]
    assert words.decode([0, 3]) == "New York"
    characters = Vocabulary(tokens=iter("zab"), pad=True)
    assert characters.encode("abz").tolist() == [2, 3, 1]


@pytest.mark.parametrize("words", [False, True], ids=["characters", "words"])
def test_the_tokens_of_a_vocabulary_make_it_again(words: bool) -> None:
    first = Vocabulary(TEXT, words=words, bos=True, **SPECIAL)
    second = Vocabulary(tokens=first.tokens, words=words)
    assert second.state_dict() == first.state_dict()
    again = Vocabulary(tokens=["<eos>", "a"], words=words, eos=True, pad=True)
    assert again.tokens == ["<pad>", "<eos>", "a"]
    assert (again.pad, again.eos) == (0, 1)


def test_begin_and_end() -> None:
    vocabulary = Vocabulary("ab", bos=True, eos=True)
    assert vocabulary.tokens == ["<bos>", "<eos>", "a", "b"]
    assert vocabulary.encode("ba", bos=True, eos=True).tolist() == [0, 3, 2, 1]
    assert vocabulary.encode("", bos=True, eos=True).tolist() == [0, 1]
    assert vocabulary.decode([0, 3, 2, 1]) == "ba"
    with raises(ValueError, "bos: expected a vocabulary with BOS, got one without"):
        Vocabulary("ab", eos=True).encode("a", bos=True)


@pytest.mark.parametrize("words", [False, True], ids=["characters", "words"])
def test_a_token_is_looked_up(words: bool) -> None:
    text = "a dog" if words else "ad"
    vocabulary = Vocabulary(text, words=words, unk=True, eos=True)
    last = text.split()[-1][-3:] if words else "d"
    assert [vocabulary[a] for a in ("a", last, "<eos>", "<unk>")] == [2, 3, 1, 0]
    assert vocabulary["cat"] == 0
    assert "a" in vocabulary
    assert "<eos>" in vocabulary
    assert "<pad>" not in vocabulary
    assert "cat" not in vocabulary
    kind = "word" if words else "character"
    with raises(KeyError, f"token: {kind} 'cat' is not in the vocabulary"):
        Vocabulary(text, words=words)["cat"]
    with raises(TypeError, "token: expected a str, got int"):
        vocabulary[3]  # type: ignore[index]
    with raises(TypeError, "token: expected a str, got int"):
        3 in vocabulary  # type: ignore[operator]  # noqa: B015


@bad_values(
    TypeError={
        "text: expected a str or several, got NoneType": {"text": None},
        "tokens: expected a list of str, got str": {"text": None, "tokens": "ab"},
        "tokens[1]: expected a str, got int": {"text": None, "tokens": ["a", 1]},
        "tokens[0]: expected a str, got int": {"text": None, "tokens": [1]},
        "max_size: expected an int, got float": {"max_size": 2.0},
        "bos: expected a bool, got int": {"bos": 1},
        "text: expected a str or several, got int": {"text": 3},
        "text[1]: expected a str, got int": {"text": ["a", 1]},
        "words: expected a bool, got int": {"words": 1},
        "eos: expected a bool, got int": {"eos": 1},
        "min_count: expected an int, got float": {"min_count": 1.5},
    },
    ValueError={
        "tokens: expected either text or tokens, got both": {"tokens": ["a"]},
        "tokens: expected at least one token, got none": {"text": None, "tokens": []},
        "tokens[0]: expected one character, or words=True, got 'ab'": {
            "text": None, "tokens": ["ab"]
        },
        "tokens[1]: expected a word, got ''": {
            "text": None, "tokens": ["a", ""], "words": True
        },
        "tokens[2]: expected a new token, got 'a' again": {
            "text": None, "tokens": ["a", "b", "a"]
        },
        "tokens[1]: expected a new token, got '<eos>' again": {
            "text": None, "tokens": ["<eos>", "<eos>"]
        },
        "tokens[1]: expected special tokens first, got '<unk>'": {
            "text": None, "tokens": ["a", "<unk>"], "words": True
        },
        "min_count: expected 1 with tokens, got 2": {
            "text": None, "tokens": ["a"], "min_count": 2
        },
        "max_size: expected None with tokens, got 2": {
            "text": None, "tokens": ["a"], "max_size": 2
        },
        "max_size: expected max_size >= 1, got 0": {"max_size": 0},
        "min_count: expected min_count >= 1, got 0": {"min_count": 0},
        "text: expected at least one token, got none": {"text": ""},
    },
)  # fmt: skip
def test_bad_vocabularies(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        Vocabulary(**{"text": "abc", **bad})


STATE = Vocabulary("bac", eos=True).state_dict()


def test_ids_are_places_in_whatever_order_tokens_stand() -> None:
    """Tokens that were found by searching would be others."""
    d = {"words": False, "specials": ["<eos>", "<pad>"], "tokens": list("zaxb")}
    vocabulary = Vocabulary.from_state_dict(d)
    assert vocabulary.encode("abxz", eos=True).tolist() == [3, 5, 4, 2, 0]
    assert vocabulary.decode([3, 5, 4, 2, 1, 0]) == "abxz"
    assert (vocabulary.pad, vocabulary.unk, vocabulary.eos) == (1, None, 0)
    assert vocabulary.state_dict() == d
    words = Vocabulary.from_state_dict({**d, "words": True, "tokens": ["the", "a"]})
    assert words.encode("a the").tolist() == [3, 2]


@bad_values(
    TypeError={
        "d: expected a dict of state_dict(), got NoneType": None,
        "d['words']: expected a bool, got int": {**STATE, "words": 0},
        "d['tokens']: expected a list of str, got str": {**STATE, "tokens": "abc"},
        "d['tokens'][1]: expected a str, got int": {**STATE, "tokens": ["a", 1]},
        "d['specials'][0]: expected a str, got NoneType": {**STATE, "specials": [None]},
    },
    ValueError={
        "d['tokens'][1]: expected one character, got 'bc'": {
            **STATE, "tokens": ["a", "bc"]
        },
        "d['tokens'][0]: expected a word, got ''": {
            **STATE, "tokens": [""], "words": True
        },
        "d['tokens'][2]: expected a new token, got 'a' again": {
            **STATE, "tokens": ["a", "b", "a"]
        },
        "d['specials'][0]: expected '<pad>', '<unk>', '<bos>', '<eos>', got '<s>'": {
            **STATE, "specials": ["<s>"]
        },
        "d['tokens']: expected at least one token, got none": {
            **STATE, "specials": [], "tokens": []
        },
    },
    KeyError={
        "d: expected words, specials and tokens, got no specials": {
            "words": True, "tokens": []
        },
    },
)  # fmt: skip
def test_bad_state_dicts(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        Vocabulary.from_state_dict(bad)


def test_bad_texts_and_ids() -> None:
    with raises(ValueError, "text: character 'b' at 2 is not in the vocabulary"):
        Vocabulary("aż").encode("żaba")
    with raises(ValueError, "text: word 'cat' at 1 is not in the vocabulary"):
        Vocabulary("the dog", words=True).encode("the cat")
    vocabulary = Vocabulary("abc")
    with raises(TypeError, "text: expected a str, got bytes"):
        vocabulary.encode(b"a")  # type: ignore[arg-type]
    with raises(ValueError, "eos: expected a vocabulary with EOS, got one without"):
        vocabulary.encode("a", eos=True)
    with raises(ValueError, "ids: id 3 at [1] is out of range 0 <= id < V = 3"):
        vocabulary.decode([0, 3])
    with raises(TypeError, "ids: expected an integer dtype, got float64"):
        vocabulary.decode([0.5])
    with raises(TypeError, "ids: expected an array or a list of ids, got int"):
        vocabulary.decode(5)  # type: ignore[arg-type]
    with raises(TypeError, "text: expected a str, got bytes"):
        split_words(b"a")  # type: ignore[arg-type]
    with raises(TypeError, "tokens[1]: expected a str, got int"):
        join_words(["a", 1])  # type: ignore[list-item]


# --- drawing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_k": 2}, [0.4, 0.3, 0, 0]),
        ({"top_k": 9}, [0.4, 0.3, 0.2, 0.1]),
        ({"top_p": 0.65}, [0.4, 0.3, 0, 0]),
        ({"top_p": 0.75}, [0.4, 0.3, 0.2, 0]),
        ({"top_p": 0.0}, [0.4, 0, 0, 0]),
        ({"top_k": 2, "top_p": 0.5}, [0.4, 0, 0, 0]),  # 0.4 of 0.7 is more than half
        ({"temperature": 0.5}, [0.16, 0.09, 0.04, 0.01]),
        ({"temperature": 0}, [1, 0, 0, 0]),
    ],
    ids=str,
)
def test_choose_draws_what_it_says(how: dict[str, Any], kept: list[float]) -> None:
    places = np.array([2, 0, 3, 1])  # of the likeliest, the next, …
    logits = np.empty(4, np.float32)
    logits[places] = 500 + np.log([0.4, 0.3, 0.2, 0.1])
    rng = np.random.default_rng(0)
    drawn = Counter(choose(logits, rng, **how) for _ in range(4000))
    share = np.array([drawn[i] / 4000 for i in places])
    expected = np.array(kept) / sum(kept)
    assert not share[expected == 0].any()
    np.testing.assert_allclose(share, expected, atol=0.03)  # 4 σ of 4000 draws


def counting(x: Any, state: Any) -> Any:
    """Predict that the next token is the sum of all so far, modulo 10."""
    total = (int(x.sum()) + (state or 0)) % 10
    logits = np.full((*x.shape, 10), -50, np.float32)
    logits[-1, :, total] = 0
    return logits, total


def test_generate_carries_the_state_on() -> None:
    assert list(generate(counting, [1, 2], 5, seed=0)) == [3, 6, 2, 4, 8]
    assert list(generate(counting, [1, 2], 5, stop=2, seed=0)) == [3, 6]
    assert list(generate(counting, [1, 2], 2, state=4, seed=0)) == [7, 4]
    assert list(generate(counting, [1], 0, seed=0)) == []


def make_model(V: int, **options: Any) -> fastrnn.Sequential:
    rng = np.random.default_rng(0)
    model = fastrnn.Sequential(
        fastrnn.Embedding(V, 8, seed=rng),
        fastrnn.LSTM(8, 8, 2, dropout=0.5, seed=rng, **options),
        fastrnn.Linear(16 if "bidirectional" in options else 8, V, seed=rng),
    )
    model.flat_params *= 4
    return model


def test_generate_from_a_model() -> None:
    model = make_model(9)
    first = list(generate(model, [1, 2, 3], 30, seed=0))
    assert model.training
    assert first == list(generate(model, [1, 2, 3], 30, seed=0))
    assert first != list(generate(model, [1, 2, 3], 30, seed=1))
    greedy = list(generate(model, [1, 2, 3], 30, temperature=0))
    assert greedy == list(generate(model, [1, 2, 3], 30, top_k=1))
    model.eval()
    x = np.array([[1], [2], [3], *([i] for i in greedy)])
    assert model(x)[0][2:-1, 0].argmax(1).tolist() == greedy


def test_generate_puts_the_mode_back_after_an_error() -> None:
    model = make_model(4)
    model.flat_params[:] = np.nan
    with raises(ValueError, "logits: expected a finite maximum, got nan"):
        list(generate(model, [1], 1))
    assert model.training


def test_the_mode_changes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of it throws packed weights away."""
    changes = []
    for name in ("eval", "train"):
        whole = getattr(fastrnn.Sequential, name)
        monkeypatch.setattr(
            fastrnn.Sequential,
            name,
            lambda m, n=name, f=whole: changes.append(n) or f(m),
        )
    model = make_model(5)
    ids = generate(model, [1], 9, seed=0)
    assert (changes, model.training) == ([], True)
    assert len(list(ids)) == 9
    assert (changes, model.training) == (["eval", "train"], True)
    ids = generate(model, [1], 9, seed=0)
    next(ids)
    assert not model.training
    del ids  # at once, not when it is collected some day
    assert changes == ["eval", "train"] * 2
    list(generate(model.eval(), [1], 3, seed=0))
    assert changes == [*["eval", "train"] * 2, "eval"]


def test_training_between_two_ids_changes_none() -> None:
    model = make_model(5)
    first = list(generate(model, [1], 6, seed=0))
    again = []
    for i in generate(model, [1], 6, seed=0):
        again.append(i)
        model.train()  # dropout would draw, and change what comes next
    assert (again, model.training) == (first, True)


def test_a_prompt_of_a_narrow_dtype() -> None:
    model = make_model(300)
    model.params["2.bias"][:200] = -99  # what is drawn does not fit into uint8
    ids = list(generate(model, np.array([7, 255], np.uint8), 20, seed=0))
    assert max(ids) > 255
    assert ids == list(generate(model, np.array([7, 255]), 20, seed=0))


def test_models_that_cannot_go_on_are_refused() -> None:
    layers = {"a": fastrnn.Embedding(5, 4), "b": fastrnn.GRU(4, 4)}
    headless = fastrnn.Sequential(fastrnn.Sequential(**layers))
    for model, message in [
        (
            make_model(5, bidirectional=True),
            "bidirectional=False, got True in its LSTM",
        ),
        (make_model(5, batch_first=True), "batch_first=False, got True in its LSTM"),
        (
            headless,
            "a head that gives logits (Linear) as its last layer, got GRU",
        ),
        (
            fastrnn.RNN(5, 5),
            "a head that gives logits (Linear) as its last layer, got RNN",
        ),
        (
            fastrnn.Linear(4, 5),
            "a layer that reads tokens (Embedding, or a recurrent one) and a head, "
            "got a Linear without",
        ),
        (
            fastrnn.Sequential(fastrnn.LSTM(4, 3), fastrnn.Linear(3, 5)),
            "at most V = 4 logits (the tokens that it reads), got 5",
        ),
    ]:
        with raises(ValueError, f"model: expected {message}"):
            generate(model, [1], 1)  # type: ignore[arg-type]
    one_hot = fastrnn.Sequential(fastrnn.LSTM(4, 3), fastrnn.Linear(3, 4))
    assert len(list(generate(one_hot, [3], 2, seed=0))) == 2
    with raises(
        ValueError, "prompt: token 4 at [0] is out of range 0 <= token < V = 4"
    ):
        generate(one_hot, [4], 1)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "(logits, state), got NoneType"),
        (([1.0], 0), "floating logits, got list"),
        ((np.zeros((1, 1, 2), int), 0), "floating logits, got int64"),
        ((np.zeros((1, 2, 3)), 0), "logits of shape (T, 1, V), got (1, 2, 3)"),
        ((np.zeros((0, 1, 3)), 0), "logits of shape (T, 1, V), got (0, 1, 3)"),
    ],
)
def test_functions_that_return_no_logits(returned: Any, message: str) -> None:
    error = ValueError if "shape" in message else TypeError
    with raises(error, f"model: expected to return {message}"):
        list(generate(lambda x, state: returned, [1], 2))


def test_drawing_where_floating_point_errors_raise() -> None:
    logits = np.array([-1e308, 0, 700, -np.inf, 1e308])
    with np.errstate(all="raise"):
        assert choose(logits, 0) == 4
        assert choose(logits[:4], 0, temperature=5e-324) == 2
        assert choose(logits[1:3].astype(np.float32), 0, top_p=0.5) == 1
        assert len(list(generate(make_model(5), [1], 9, seed=0))) == 9


@bad_values(
    TypeError={
        "temperature: expected a number, got str": {"temperature": "hot"},
        "temperature: expected a number, got NoneType": {"temperature": None},
        "top_k: expected an int, got float": {"top_k": 1.0},
        "top_k: expected an int, got ndarray": {"top_k": np.array([1, 2])},
        "length: expected an int, got float": {"length": 2.9},
        "stop: expected an int, got str": {"stop": "."},
        "model: expected a Sequential or a function, got NoneType": {"model": None},
        "prompt: expected an integer dtype, got float64": {"prompt": [0.5]},
    },
    ValueError={
        "temperature: expected a finite number >= 0, got -1": {"temperature": -1},
        "temperature: expected a finite number >= 0, got inf": {"temperature": np.inf},
        "temperature: expected a finite number >= 0, got nan": {"temperature": np.nan},
        f"temperature: expected a number that float64 can hold, got 1{'0' * 59}": {
            "temperature": 10**400
        },
        "top_p: expected 0 <= top_p <= 1, got nan": {"top_p": np.nan},
        "stop: expected stop >= 0, got -1": {"stop": -1},
        f"prompt: token -1 at [1] is out of range 0 <= token < V = {2**63 - 1}": {
            "prompt": [0, -1]
        },
        "top_k: expected top_k >= 0, got -1": {"top_k": -1},
        "top_p: expected 0 <= top_p <= 1, got 1.5": {"top_p": 1.5},
        "length: expected length >= 0, got -1": {"length": -1},
        "prompt: expected shape (T,) with T >= 1, got (0,)": {"prompt": []},
        "prompt: expected shape (T,) with T >= 1, got (1, 1)": {
            "prompt": np.ones((1, 1), int)
        },
        "prompt[1]: expected shape (T,) with T >= 1, got (0,)": {"prompt": [[1], []]},
    },
)
def test_bad_drawing(bad: Any, error: type[Exception], message: str) -> None:
    with raises(error, message):
        generate(**{"model": counting, "prompt": [1], "length": 3, **bad})


def test_bad_logits() -> None:
    with raises(ValueError, "logits: expected shape (V,) with V >= 1, got (1, 2)"):
        choose(np.zeros((1, 2)))
    with raises(ValueError, "logits: expected a finite maximum, got nan"):
        choose(np.array([1, np.nan]))
    with raises(TypeError, "logits: expected dtype float32 or float64, got int64"):
        choose(np.array([1, 2]))
