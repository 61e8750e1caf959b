"""`examples/char_lm.py` as its user meets it: a command that is run."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn

for library in ("matplotlib", "safetensors", "tqdm"):
    pytest.importorskip(library, reason=f"{library} is not installed (extra: examples)")

SCRIPT = Path(__file__).parents[2] / "examples" / "char_lm.py"
QUICK = [
    *("--hidden", "16", "--batch", "4", "--seq", "10"),
    *("--every", "20", "--length", "20", "--threads", "1"),
]


def command(*words: object) -> list[str]:
    return [sys.executable, "-W", "error", str(SCRIPT), *map(str, words)]


def char_lm(*words: object, code: int = 0, **how) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*words), capture_output=True, text=True, timeout=120, **how
    )
    assert done.returncode == code, done.stderr
    return done


def train(text: Path, out: Path, *words: object) -> bytes:
    """Train quickly; return the checkpoint's bytes."""
    char_lm("--text", text, "--out", out, *QUICK, *words)
    return (out / "checkpoint.safetensors").read_bytes()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a text of a 40-character phrase said 60 times: no trigram model's game."""
    phrase = "".join(np.random.default_rng(1).choice([*"abé"], 40))
    path = tmp_path_factory.mktemp("text") / "phrase.txt"
    path.write_text(phrase * 60, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train long enough to know the phrase; return the checkpoint."""
    out = tmp_path_factory.mktemp("trained")
    words = "--hidden 32 --batch 8 --seq 20 --lr 1e-2 --steps 150 --every 50"
    done = char_lm("--text", text, "--out", out, "--threads", 1, *words.split())
    (out / "stdout").write_text(done.stdout, encoding="utf-8")
    (out / "stderr").write_text(done.stderr, encoding="utf-8")
    return out / "checkpoint.safetensors"


# --- training ------------------------------------------------------------------------


def test_it_learns_more_than_a_trigram_model(trained: Path) -> None:
    said = trained.with_name("stdout").read_text(encoding="utf-8")
    bits = dict(re.findall(r"^(unigram|trigram|validation): ([\d.]+)", said, re.M))
    unigram, trigram, validation = (
        float(bits[name]) for name in ("unigram", "trigram", "validation")
    )
    assert 1.5 < unigram < 1.6  # three letters
    assert 1.0 < trigram < unigram
    assert validation < 0.5 * trigram


def test_it_writes_samples_as_it_goes(trained: Path, text: Path) -> None:
    said = trained.with_name("stdout").read_text(encoding="utf-8")
    samples = re.findall(r"^--- step (\d+): .*\n([abé]{300})$", said, re.M)
    assert [step for step, _ in samples] == ["50", "100", "150"]
    phrase = text.read_text(encoding="utf-8")[:40]
    assert phrase not in samples[0][1]
    assert phrase in samples[-1][1]


def test_the_progress_bar_shows_loss_and_speed(trained: Path) -> None:
    bar = trained.with_name("stderr").read_text(encoding="utf-8").split("\r")[-1]
    assert re.search(r"24\.0k/24\.0k .*char/s, \d\.\d{3} bits/char", bar)


def test_the_plot_is_a_picture(trained: Path) -> None:
    from matplotlib.image import imread

    pixels = imread(trained.with_name("loss.png"))
    assert pixels.shape[0] > 300
    assert pixels.shape[1] > 300
    # Colours of the two curves, gray of the baselines, and neither on an empty plot.
    colours = {tuple(c) for c in (pixels[..., :3] * 255).astype(int).reshape(-1, 3)}
    assert {(31, 119, 180), (255, 127, 14), (128, 128, 128)} <= colours


def test_the_same_seed_gives_the_same_bits(text: Path, tmp_path: Path) -> None:
    first = train(text, tmp_path / "a", "--steps", 20, "--threads", 1)
    assert train(text, tmp_path / "b", "--steps", 20, "--threads", 2) == first
    assert train(text, tmp_path / "c", "--steps", 20, "--seed", 1) != first


@pytest.mark.parametrize(
    "model",
    [
        *(f"--cell {cell}" for cell in ("rnn", "gru", "lstm")),
        "--layers 2 --dropout 0.5",
    ],
    ids=lambda words: words.replace("--", "").replace(" ", "-"),
)
def test_a_resumed_run_ends_in_the_same_bits(
    model: str, text: Path, tmp_path: Path
) -> None:
    whole = train(text, tmp_path / "whole", *model.split(), "--steps", 60)
    halves = tmp_path / "halves"
    half = train(text, halves, *model.split(), "--steps", 40)
    assert half != whole
    char_lm(
        *("--resume", halves / "checkpoint.safetensors", "--steps", 60, "--length", 20)
    )
    assert (halves / "checkpoint.safetensors").read_bytes() == whole


def test_ctrl_c_saves_what_resumes_exactly(text: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    out = tmp_path / "stopped"
    words = ["--text", text, *QUICK, "--every", 10**6, "--length", 0]
    process = subprocess.Popen(
        command(*words, "--out", out, "--steps", 10**6),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ""
    while "bits/char" not in seen:  # the bar, once the first steps have been taken
        seen += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    path = out / "checkpoint.safetensors"
    steps = len(load_file(path)["losses"])
    assert f"stopped at step {steps}: --resume {path}" in said

    char_lm("--resume", path, "--steps", steps + 7, "--length", 0)
    whole = train(text, tmp_path, *words[2:], "--steps", steps + 7)
    assert path.read_bytes() == whole


def test_a_failed_write_leaves_the_old_checkpoint(trained: Path) -> None:
    old = trained.read_bytes()
    done = char_lm(
        *("--resume", trained, "--steps", 200, "--length", 0),
        code=2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)),
    )
    assert "checkpoint.safetensors: cannot be written: File too large" in done.stderr
    assert trained.read_bytes() == old
    assert not [*trained.parent.glob("*.tmp")]


# --- sampling ------------------------------------------------------------------------


def test_sampling_from_a_checkpoint(trained: Path, text: Path) -> None:
    phrase = text.read_text(encoding="utf-8")[:40]
    words = ["--sample", trained, "--prompt", phrase, "--length", 60]
    greedy = char_lm(*words, "--temperature", 0).stdout
    assert greedy == (phrase * 3)[:100] + "\n"
    assert char_lm(*words, "--top-k", 1, "--temperature", 2).stdout == greedy
    assert char_lm(*words, "--top-p", 0, "--temperature", 2).stdout == greedy
    hot = char_lm(*words, "--temperature", 5).stdout
    assert hot != greedy
    assert len(hot) == 101
    assert char_lm(*words, "--temperature", 5).stdout == hot
    assert char_lm(*words, "--temperature", 5, "--seed", 1).stdout != hot


# --- errors --------------------------------------------------------------------------


def fails(*words: object, **how) -> str:
    """Run what must fail with one clear line before any work; return the line."""
    done = char_lm(*words, code=2, **how)
    assert not done.stdout
    assert done.stderr.startswith("char_lm.py: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("char_lm.py: error: ").rstrip("\n")


@pytest.mark.parametrize("content", [b"", b"abc" * 15], ids=["empty", "short"])
def test_a_text_that_is_too_short(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    out = tmp_path / "out"
    assert fails("--text", path, "--out", out, *QUICK) == (
        "--text: expected at least 46 characters for --batch 4 rows of --seq 10 and "
        f"10% for validation, got {len(content)}"
    )
    assert not out.exists()


def test_the_shortest_text_does(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("ab" * 23)
    train(path, tmp_path, "--steps", 3)


def test_a_checkpoint_that_is_damaged(trained: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    bad = tmp_path / "bad.safetensors"
    whole = trained.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:length])
        assert "damaged or not a safetensors file" in fails("--resume", bad)
    assert "damaged or not a safetensors file" in fails("--sample", bad)
    save_file({"a": np.zeros(1)}, bad)
    assert "expected a file of kind 'fastrnn char_lm 1', got none" in fails(
        "--sample", bad
    )


def test_a_checkpoint_whose_arrays_do_not_fit(trained: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(trained, "numpy") as file:
        facts = file.metadata()
    bad = tmp_path / "bad.safetensors"
    arrays = load_file(trained)
    save_file({**arrays, "head.bias": np.zeros(7, np.float32)}, bad, facts)
    line = fails("--sample", bad)
    assert line.startswith(
        f"--sample: expected a checkpoint, got {bad}: d['head.bias']"
    )
    del arrays["rnn.weight_hh_l0"]
    save_file(arrays, bad, facts)
    assert "weight_hh_l0" in fails("--resume", bad)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ([], "JSON object"),
        ({}, "settings"),
        ({"settings": {}}, "cell"),
        ({"settings": {"hidden": -1}}, "hidden: expected a whole number in 1"),
        ({"settings": {"hidden": "32"}}, "hidden: expected 32"),
        ({"settings": {"lr": "x"}}, "lr: expected a number"),
        ({"vocabulary": 5}, "vocabulary"),
        ({"vocabulary": ""}, "token"),
        ({"dropout_rng": 5}, "state"),
        ({"dropout_rng": {}}, "PCG64"),
    ],
    ids=str,
)
def test_a_checkpoint_whose_facts_do_not_fit(
    facts: Any, message: str, trained: Path, tmp_path: Path
) -> None:
    arrays, good = fastrnn.load(trained, kind="fastrnn char_lm 1")
    if facts:
        settings = facts.get("settings")
        own = {} if settings == {} else good["settings"] | (settings or {})
        facts = good | facts | {"settings": own}
    bad = tmp_path / "bad.safetensors"
    good_kind = {"fastrnn char_lm 1": json.dumps(facts)}
    pytest.importorskip("safetensors.numpy").save_file(arrays, bad, good_kind)
    line = fails("--resume", bad)
    assert line.startswith(f"--resume: expected a checkpoint, got {bad}: ")
    assert re.search(message, line)
    if "dropout_rng" not in facts or facts["dropout_rng"] == good["dropout_rng"]:
        assert re.search(message, fails("--sample", bad))


@pytest.mark.parametrize(
    "words", ["--cell rnn", "--hidden 16", "--layers 2", "--batch 9", "--seq 10"]
)
def test_a_checkpoint_of_another_configuration(words: str, trained: Path) -> None:
    flag, here = words.split()
    line = fails("--resume", trained, flag, here)
    assert re.search(f"^{flag}: expected .*, as in the checkpoint, got {here}$", line)


def test_a_checkpoint_of_another_text(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("abc" * 2000)
    line = fails("--resume", trained, "--text", other)
    assert line == "--text: expected the text of the checkpoint, got another text"


def test_an_unknown_character_in_a_prompt(trained: Path, text: Path) -> None:
    expected = "character 'x' at 2 is not in the vocabulary"
    assert expected in fails("--sample", trained, "--prompt", "abx")
    assert expected in fails("--text", text, *QUICK, "--prompt", "abx")


def test_dropout_needs_two_layers(text: Path) -> None:
    line = fails("--text", text, *QUICK, "--dropout", 0.5)
    assert line.startswith("--dropout: expected 0, since it acts between layers")


@pytest.mark.parametrize("library", ["tqdm", "safetensors", "matplotlib"])
def test_a_missing_library(library: str, tmp_path: Path) -> None:
    program = (
        f"import runpy, sys; sys.modules[{library!r}] = None; "
        f"sys.argv = [{str(SCRIPT)!r}]; sys.path.insert(0, {str(SCRIPT.parent)!r}); "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"char_lm.py: error: {library} not installed: in a clone of fastrnn, "
        "pip install '.[examples]'\n"
    )
