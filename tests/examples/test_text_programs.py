"""word_lm, sentiment, seq2seq_dates, music and tagger reach their claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.examples.programs import load, numbers, run_quickly

for library in ("matplotlib", "tqdm"):
    pytest.importorskip(library, reason=f"{library} is not installed (examples)")


def result(said: str) -> list[float]:
    """Return the fractions on the result line."""
    (line,) = [line for line in said.splitlines() if line.startswith("result: ")]
    return numbers(r"(\d+\.\d+)", line)


def test_word_lm_knows_more_than_a_trigram_model(tmp_path: Path) -> None:
    said = run_quickly("word_lm.py", tmp_path)
    perplexity, unigram, trigram = result(said)
    assert 10 < perplexity < trigram < unigram / 3
    assert "<unk>" in said
    assert "class: " in said  # neighbours in the embedding


def test_word_lm_of_another_text(tmp_path: Path) -> None:
    """Untied too; a word after another is all there is to learn."""
    rng = np.random.default_rng(0)
    names = [f"w{i}" for i in range(12)]
    after = {a: names[i - 3 : i] if i > 2 else names[3:6] for i, a in enumerate(names)}
    word, lines = "w5", []
    for _ in range(700):
        line = []
        for _ in range(rng.integers(3, 20)):
            word = str(rng.choice(after[word]))
            line.append(word)
        lines.append(" ".join(line))
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(lines))
    words = f"--text {path} --head own --hidden 24 --steps 500 --every 500 --dropout 0"
    said = run_quickly("word_lm.py", tmp_path, *words.split())
    perplexity, unigram, _ = result(said)
    assert perplexity < 6 < unigram
    assert "embedding" not in said


def test_sentiment_is_near_the_best_possible(tmp_path: Path) -> None:
    said = run_quickly("sentiment.py", tmp_path)
    accuracy, counting, best = result(said)
    assert best == pytest.approx(0.95, abs=0.014)  # 4 σ of 4000 labels
    assert counting < 0.65
    assert counting + 0.2 < accuracy < best + 0.01
    assert accuracy > best - 0.09


def test_the_reviews_are_what_they_say() -> None:
    grammar = load("_reviews")
    rng = np.random.default_rng(0)
    reviews = [grammar.write(rng) for _ in range(2000)]
    wrong = np.mean([r.label != r.truth for r in reviews])
    assert wrong == pytest.approx(grammar.NOISE, abs=0.02)
    assert np.mean([r.truth for r in reviews]) == pytest.approx(0.5, abs=0.05)
    for first in grammar.TURNS:
        short = [
            r for r in reviews if r.words.startswith("the ") and r.words.count(" ") < 7
        ]
        plain = [
            r for r in short if f" {first} " in r.words and "but the" not in r.words
        ]
        for r in plain:
            good = any(r.words.endswith(word) for word in grammar.GOOD)
            assert r.truth == (not good)


def test_dates_are_translated(tmp_path: Path) -> None:
    said = run_quickly("seq2seq_dates.py", tmp_path)
    exact, greedy, beam = result(said)
    assert exact > 0.5  # of 29,220 days one is right by chance
    assert beam > greedy - 0.03


def test_beam_search_finds_the_likeliest() -> None:
    """As wide as there are outputs, it finds what trying all of them finds."""
    seq2seq, options = load("seq2seq_dates"), pytest.importorskip("argparse").Namespace
    vocabulary = seq2seq.Vocabulary("ab", eos=True)
    model = seq2seq.Translator(vocabulary, options(hidden=8, seed=3))
    for a in model.parameters:
        a *= 6
    guesses = model.beam("abba", 5000)
    chances = np.exp([g.score for g in guesses])
    assert (np.diff(chances) <= 0).all()
    assert 0.5 < chances.sum() <= 1 + 1e-5
    for guess in guesses[:3]:
        _, state = model.encoder(vocabulary.encode("abba")[:, None])
        out = vocabulary.encode(guess.text, eos=True)
        said = np.concatenate([[vocabulary.eos], out[:-1]])[:, None]
        logits, _ = model.decoder(said, (state,))
        each = seq2seq.log_softmax(logits[:, 0])[np.arange(len(out)), out]
        assert each.sum() == pytest.approx(guess.score, abs=1e-4)


def test_tunes_are_played_in_keys_never_heard(tmp_path: Path) -> None:
    said = run_quickly("music.py", tmp_path)
    right, perfect = result(said)
    assert right > 0.5  # by chance a key is right once in twelve
    assert perfect > 0.5
    for name in ("held_out", "half_and_half", "nothing_0"):
        assert len(read_midi(tmp_path / f"{name}.mid")) > 5


def test_midi_files_hold_the_notes(tmp_path: Path) -> None:
    music = load("music")
    ids = music.spell(1, 3)[:-1]
    music.write_midi(tmp_path / "a.mid", ids)
    assert read_midi(tmp_path / "a.mid") == music.notes(ids)
    assert music.notes(ids)[:3] == [(58, 0, 2), (60, 2, 2), (62, 4, 2)]


def test_midi_files_hold_long_notes(tmp_path: Path) -> None:
    """Times of 128 ticks and more take two bytes."""
    tunes = load("_tunes")
    ids = np.array([tunes.SAME, *[tunes.HOLD] * 199, tunes.SAME + 2], np.int32)
    tunes.write_midi(tmp_path / "a.mid", ids)
    data = (tmp_path / "a.mid").read_bytes()
    assert data.index(bytes([0x81, 0x48, 0x80, 60, 96])) > 0  # 200 = 1 · 128 + 72
    assert int.from_bytes(data[18:22], "big") == len(data) - 22


def read_midi(path: Path) -> list[tuple[int, int, int]]:
    """Return (pitch, start, length) of a file with one track and short deltas."""
    data = path.read_bytes()
    assert data[:14] == b"MThd\0\0\0\6\0\0\0\1\0\2"
    assert data[14:18] == b"MTrk"
    events = data[22:]
    assert int.from_bytes(data[18:22], "big") == len(events)
    assert events[:7] == b"\0\xff\x51\x03\x07\xa1\x20"
    assert events[-4:] == b"\0\xff\x2f\0"
    read, now, begun = [], 0, (0, 0)
    for delta, status, pitch, _ in zip(*[iter(events[7:-4])] * 4, strict=True):
        now += delta
        if status == 0x90:
            begun = (pitch, now)
        else:
            assert (status, pitch) == (0x80, begun[0])
            read.append((*begun, now - begun[1]))
    return read


def test_both_directions_tag_better_than_one(tmp_path: Path) -> None:
    said = run_quickly("tagger.py", tmp_path)
    counting, one, both = result(said)
    assert counting < 0.85
    assert both > 0.95
    assert both > one > counting


def test_tags_are_those_of_the_tokenizer() -> None:
    modules = load("_code")
    code = 'def f(x):\n    # no\n    return "a" if x else 10\n'
    (piece,) = modules.cut(code + "x = 1\n" * 60)
    assert piece.text.startswith(code[:40])
    short = "".join(modules.TAGS[t][0] for t in piece.tags[: len(code)])
    # rest, name or number, keyword, definition, string, comment
    expected = "kkkrdrnrrr" + "rrrrccccr" + "rrrrkkkkkkrsssrkkrnrkkkkrnnr"
    assert short == expected
    assert modules.TAGS[piece.tags[len(code) - 2]] == "number"
