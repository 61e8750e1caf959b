"""Random calls of all public names: no crash, hang, foreign error or wrong value.

    python -m tests.fuzz.calls --calls 1000000 --seed 0
    python -m tests.fuzz.calls --seed 0 --case 123

Half of the cases call a public name with hostile arguments (`tests.fuzz.hostile`), the
others compare results (`tests.fuzz.compared`). A case depends on the seed and its
number alone: the second line runs one of them again. Cases run in a child process,
which is replaced after a crash or when a case takes longer than ``--patience``. Memory
in use must not grow by more than 5 % once a fifth of the calls is done.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import mmap
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.compared import CHECKS
from tests.fuzz.hostile import derived, outcome, shown, values
from tests.fuzz.public import GOOD, NEEDS, pool_for

PROGRESS = struct.Struct("qq")  # the case that runs, and the calls before it
MEMORY = 16 * 2**30  # more than that is a MemoryError
GROWTH = 1.05  # of the memory in use, after which it is said to grow
SETTLED = 50_000  # calls, before which caches still fill
RARE = {"plot.": 0.02, "save": 0.1, "load": 0.1, "set_num_threads": 0.2}


def weight_of(name: str) -> float:
    for prefix, module in NEEDS.items():
        if name.startswith(prefix) and importlib.util.find_spec(module) is None:
            return 0
    return next((w for prefix, w in RARE.items() if name.startswith(prefix)), 1)


class Case(NamedTuple):
    """What came of one case."""

    about: str
    wrong: str | None


class Fuzzer:
    """Runs cases one by one, and counts calls by name."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.calls: Counter[str] = Counter()
        self.values = values()
        self.names = [name for name in GOOD if weight_of(name)]
        self.weights = [weight_of(name) for name in self.names]

    def run(self, number: int) -> Case:
        rng = random.Random(self.seed << 40 | number)
        return self.compare(rng) if rng.random() < 0.4 else self.provoke(rng)

    def compare(self, rng: random.Random) -> Case:
        (check,) = rng.choices(list(CHECKS), list(CHECKS.values()))
        try:
            check(rng, self.calls)
        except Exception as error:
            return Case(check.__name__, f"{type(error).__name__}: {error}")
        return Case(check.__name__, None)

    def provoke(self, rng: random.Random) -> Case:
        (name,) = rng.choices(self.names, self.weights)
        self.calls[name.partition(" ")[0]] += 1
        good = GOOD[name]()
        arguments = list(good.arguments)
        changed = {}
        for argument in rng.sample(
            arguments, min(len(arguments), int(rng.choice("0112")))
        ):
            near = rng.random() < 0.5
            everything = pool_for(name, self.values)
            pool = derived(good.arguments[argument]) if near else everything
            changed[argument] = rng.choice(pool)
        about = ", ".join(f"{k}={shown(a)}" for k, a in changed.items())
        return Case(f"{name}({about})", outcome(good, changed))


def resident() -> float:
    """Return the memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def work(options: argparse.Namespace) -> None:
    """Run cases until there are enough calls; this is the child process."""
    folder = Path(options.folder)
    with (folder / "progress").open("r+b") as file:
        progress = mmap.mmap(file.fileno(), PROGRESS.size)
    number, before = PROGRESS.unpack_from(progress)
    os.chdir(tempfile.mkdtemp(dir=folder))
    fuzzer = Fuzzer(options.seed)
    warnings.simplefilter("error")
    memory = []
    # At least one case must have run before its memory is the first that counts.
    marks = [options.calls * k // 10 for k in range(1, 11)]
    with (folder / "found").open("a") as found:
        while (total := before + fuzzer.calls.total()) < options.calls:
            PROGRESS.pack_into(progress, 0, number, total)
            case = fuzzer.run(number)
            if case.wrong:
                found.write(json.dumps([number, case.about, case.wrong]) + "\n")
                found.flush()
            while marks and before + fuzzer.calls.total() >= marks[0]:
                memory.append([marks.pop(0), resident()])
            number += 1
        PROGRESS.pack_into(progress, 0, number, total)
    name = f"counts-{os.getpid()}"
    (folder / name).write_text(json.dumps([fuzzer.calls, memory]))


def supervise(command: list[str], folder: Path, patience: float) -> None:
    """Start child processes until one comes to the end."""
    (folder / "progress").write_bytes(PROGRESS.pack(0, 0))
    while True:
        with (folder / "stderr").open("wb") as stderr:
            child = subprocess.Popen(
                [*command, f"--folder={folder}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                preexec_fn=limit_memory,
            )  # fmt: skip
        how = wait(child, folder, patience)
        if how is None:
            return
        number, total = PROGRESS.unpack((folder / "progress").read_bytes())
        last = (folder / "stderr").read_text(errors="replace")[-2000:]
        with (folder / "found").open("a") as found:
            found.write(json.dumps([number, how, last]) + "\n")
        (folder / "progress").write_bytes(PROGRESS.pack(number + 1, total + 1))


def limit_memory() -> None:
    """Set the limit, unless the process is larger already: with a sanitizer it is."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    if pages * resource.getpagesize() < MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def wait(child: Any, folder: Path, patience: float) -> str | None:
    """Return how a child ended, or None if it came to its end."""
    last, since = None, time.monotonic()
    while True:
        try:
            code = child.wait(timeout=0.5)
            return None if code == 0 else f"crash: exit code {code}"
        except subprocess.TimeoutExpired:
            now = (folder / "progress").read_bytes()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                child.kill()
                child.wait()
                return f"hang: more than {patience:g} s"


def report(folder: Path, seconds: float) -> int:
    """Print the figures; return how much was found."""
    calls: Counter[str] = Counter()
    memory: list[Any] = []
    for file in sorted(folder.glob("counts-*")):
        counted, marks = json.loads(file.read_text())
        calls.update(counted)
        memory += marks
    cases, total = PROGRESS.unpack((folder / "progress").read_bytes())
    lines = (
        (folder / "found").read_text().splitlines()
        if (folder / "found").exists()
        else []
    )
    print(f"{total} calls in {cases} cases, {total / seconds:.0f} calls a second")
    print(f"{len(calls)} public names, least often: {calls.most_common()[-1]}")
    compared = sum(n for name, n in calls.items() if name.startswith("reference."))
    print(f"{compared} calls of the reference to compare with")
    print("memory in MB:", ", ".join(f"{mb:.1f} after {at}" for at, mb in memory))
    if growth := grown(memory):
        lines.append(json.dumps([cases, "memory", growth]))
    for number, about, wrong in map(json.loads, lines[:50]):
        print(f"case {number}: {about}: {wrong}")
    print(f"{len(lines)} found")
    return len(lines)


def grown(memory: list[Any]) -> str | None:
    """Say by how much memory grew after the first fifth, if that is no settling."""
    if len(memory) > 2 and memory[-1][0] >= SETTLED:
        before, after = memory[1][1], memory[-1][1]
        if after > GROWTH * before:
            return f"grew from {before:.1f} to {after:.1f} MB"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one alone, here")
    parser.add_argument("--patience", type=float, default=60, help="seconds a case")
    parser.add_argument("--here", action="store_true", help="not in a child process")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        warnings.simplefilter("error")
        print(*Fuzzer(options.seed).run(options.case), sep="\n")
        return 0
    if options.folder:
        work(options)
        return 0
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.calls"]
    command += [f"--{name}={getattr(options, name)}" for name in ("calls", "seed")]
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        if options.here:
            (Path(folder) / "progress").write_bytes(PROGRESS.pack(0, 0))
            work(argparse.Namespace(**{**vars(options), "folder": folder}))
        else:
            supervise(command, Path(folder), options.patience)
        return 1 if report(Path(folder), time.monotonic() - start) else 0


if __name__ == "__main__":
    sys.exit(main())
