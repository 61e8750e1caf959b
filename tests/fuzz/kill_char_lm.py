"""Kill `examples/char_lm.py` again and again, resume it, and compare the final bits.

    python -m tests.fuzz.kill_char_lm 200

A run in an empty folder is killed with SIGKILL and resumed until it reaches its last
step; then the next one begins. Half of the kills come at a random moment of the run,
half as soon as a file is being written beside the checkpoint, up to 4 ms later. After
every kill there is no checkpoint yet, or a whole one; a resumed run must go on from it,
and the final checkpoint must have the bits of a run that nothing disturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import fastrnn

SCRIPT = Path(__file__).parents[2] / "examples" / "char_lm.py"
KIND = "fastrnn char_lm 1"
STEPS, EVERY = 60, 4
MODEL = "--hidden 8 --layers 2 --dropout 0.2 --batch 2 --seq 8 --threads 1 --length 0"
NAMES = {"checkpoint.safetensors", "loss.png"}  # other files are being written
GRACE = 0.004  # s after the first sight of such a file


def start(out: Path, text: Path) -> subprocess.Popen[bytes]:
    """Start the program: on from its checkpoint if there is one, else from nothing."""
    checkpoint = out / "checkpoint.safetensors"
    words = ["--steps", str(STEPS), "--length", "0"]
    if checkpoint.exists():
        words += ["--resume", str(checkpoint)]
    else:
        words += [*MODEL.split(), "--text", str(text), "--every", str(EVERY)]
        words += ["--out", str(out)]
    log = (out / "stderr").open("wb")
    with log:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *words], stdout=log, stderr=log
        )


def is_writing(out: Path) -> bool:
    """Return whether there is a file beside those that stay."""
    return any(p.name not in NAMES | {"stderr"} for p in out.iterdir())


def wait_and_kill(
    process: subprocess.Popen[bytes], out: Path, seconds: float, at_write: bool
) -> str:
    """Kill the process at the moment asked for; return where it was, "" if it ended.

    `seconds` count from the start or, `at_write`, from the first file being written
    that was not there before.
    """
    old = {p.name for p in out.iterdir()} | NAMES
    deadline = time.monotonic() + (60 if at_write else seconds)
    while process.poll() is None and time.monotonic() < deadline:
        if at_write and any(p.name not in old for p in out.iterdir()):
            time.sleep(seconds)
            break
        time.sleep(2e-4)
    before = process.poll()
    process.send_signal(signal.SIGKILL)
    process.wait()
    if before is not None:
        if before:
            raise AssertionError((out / "stderr").read_text(errors="replace"))
        return ""
    new = {p.name for p in out.iterdir()} - old
    return "in a write" if new else "elsewhere"


def steps_saved(out: Path) -> int:
    """Return the steps in the checkpoint, which must be whole; 0 without one."""
    checkpoint = out / "checkpoint.safetensors"
    if not checkpoint.exists():
        return 0
    arrays, facts = fastrnn.load(checkpoint, kind=KIND)
    assert {"text", "vocabulary", "settings", "dropout_rng"} <= facts.keys()
    return len(arrays["losses"])


def digest(out: Path) -> str:
    """Return the SHA-256 of the checkpoint's bytes."""
    return hashlib.sha256((out / "checkpoint.safetensors").read_bytes()).hexdigest()


def run_through(out: Path, text: Path) -> float:
    """Run to the end, undisturbed; return the seconds it took."""
    begun = time.monotonic()
    process = start(out, text)
    assert process.wait() == 0, (out / "stderr").read_text(errors="replace")
    return time.monotonic() - begun


def kill_and_resume(kills: int, seed: int, folder: Path) -> Counter[str]:
    """Kill so many times; return how often where, and how many runs were compared.

    Raises AssertionError at a damaged checkpoint, a run that cannot be resumed, or
    other bits at the end.
    """
    rng = np.random.default_rng(seed)
    text = folder / "text.txt"
    text.write_text("".join(rng.choice([*"abcdé \n"], 700)), encoding="utf-8")
    whole = folder / "whole"
    whole.mkdir()
    usual = run_through(whole, text)
    expected = digest(whole)
    counts: Counter[str] = Counter()
    while counts["kills"] < kills:
        out = folder / f"run{counts['runs']}"
        out.mkdir()
        ended = False
        while not ended and counts["kills"] < kills:
            saved = steps_saved(out)
            process = start(out, text)
            at_write = bool(rng.integers(2))
            # Half of the kills at a write come at once: it may last a millisecond only.
            span = GRACE * rng.integers(2) if at_write else 1.05 * usual
            seconds = rng.uniform(0, span)
            where = wait_and_kill(process, out, seconds, at_write)
            assert steps_saved(out) >= saved, "a kill lost steps that were saved"
            ended = not where
            if where:
                counts["kills"] += 1
                counts[where] += 1
                counts["with a checkpoint"] += steps_saved(out) > 0
        if not ended:
            run_through(out, text)
        assert steps_saved(out) == STEPS
        assert digest(out) == expected, f"other bits in {out}"
        counts["runs"] += 1
        counts["files left"] += is_writing(out)
    return counts


def main() -> None:
    """Kill as often as asked for, and print where the kills came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_and_resume(options.kills, options.seed, Path(folder))
    print(
        f"{counts['kills']} kills, {counts['in a write']} in a write, "
        f"{counts['with a checkpoint']} with a checkpoint to resume from; "
        f"{counts['runs']} runs ended with the bits of an undisturbed one; "
        f"{counts['files left']} of their folders have a half-written file left"
    )


if __name__ == "__main__":
    main()
