"""Find a motif in DNA: letters go in as integers, never as vectors.

    python examples/dna.py
    python examples/dna.py --length 120 --steps 5000 --cell lstm

Sequences are random letters A, C, G, T. Half of them contain a TATA box at a random
place: eight letters, each drawn from the probabilities of the letters at its place. A
net reads a sequence letter by letter and says at its end whether there was a motif.

Since the sequences are generated, the best possible accuracy is known: it is reached by
comparing the probabilities of a sequence with and without a motif. The net is compared
with that, and with a guess from the shares of the four letters alone. Then it is asked
what it has learned: which letters has it just read where its opinion rises most? A
second picture, states.png, shows all its units along one sequence.

Source of the model of a motif: G. Stormo, "DNA binding sites: representation and
discovery", 2000.
"""

from __future__ import annotations

import sys
from typing import Any

import _readers as read
import numpy as np
from _errors import run
from _files import write_figure
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn

LETTERS = "ACGT"
MOTIF = "TATAAAAG"
CONSERVED = (0.9, 0.9, 0.95, 0.9, 0.8, 0.9, 0.8, 0.7)  # probability of the letter
SETTINGS = [
    Setting("length", 60, "letters of a sequence", read.number(int, 20, 2000)),
    Setting("cell", "gru", "recurrent cell: rnn, gru or lstm", read.cell),
    Setting("hidden", 32, "hidden units", read.units),
    Setting("batch", 64, "sequences per step", read.rows),
    Setting("steps", 3000, "steps of training", read.steps),
    Setting("lr", 1e-2, "Adam's learning rate, falling to 0", read.rate),
]
QUICK = {"length": 40, "steps": 1500}
IGNORED = -100  # a target that the loss leaves out
BEFORE, AFTER = 9, 3  # letters around the step where the opinion rises most
SHOWN = 4  # sequences in the picture


def probabilities() -> np.ndarray:
    """Return the probability [places, letters] of a letter at a place of the motif."""
    own = np.array([[letter == one for letter in LETTERS] for one in MOTIF])
    share = np.array(CONSERVED)[:, None]
    return np.where(own, share, (1 - share) / 3)


def draw_sequences(rng: Any, T: int, N: int) -> tuple[np.ndarray, ...]:
    """Return letters [T, N], whether there is a motif [N], and where it begins [N]."""
    x = rng.integers(0, len(LETTERS), (T, N))
    has = rng.integers(0, 2, N)
    begins = rng.integers(0, T - len(MOTIF) + 1, N)
    rows = np.flatnonzero(has)
    for k, p in enumerate(probabilities()):
        x[begins[rows] + k, rows] = rng.choice(len(LETTERS), len(rows), p=p)
    return x, has, begins


def best_guess(x: np.ndarray) -> np.ndarray:
    """Return for each row whether a motif is likelier than none, by Bayes' rule."""
    ratios = probabilities() * len(LETTERS)
    places = len(x) - len(MOTIF) + 1
    by_place = np.prod([r[x[k : k + places]] for k, r in enumerate(ratios)], axis=0)
    return by_place.mean(axis=0) > 1


def guess_by_shares(x: np.ndarray, seen: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Return a guess for x from its shares of letters, fitted to `seen` and `has`."""
    counts = [np.array([(a == i).mean(0) for i in range(4)]).T for a in (seen, x)]
    weights = np.linalg.lstsq(counts[0], has, rcond=None)[0]
    return counts[1] @ weights > 0.5


def train(options: Any) -> fastrnn.Sequential:
    """Train a net to say at the end whether there was a motif."""
    rng = np.random.default_rng(options.seed)
    T, N, H = options.length, options.batch, options.hidden
    layers = getattr(fastrnn, options.cell.upper())
    model = fastrnn.Sequential(
        rnn=layers(len(LETTERS), H, init="keras", seed=rng),
        head=fastrnn.Linear(H, 2, seed=rng),
    )
    adam = fastrnn.Adam(model.flat_params)
    with progress(options.steps) as bar:
        for step in range(options.steps):
            x, has, _ = draw_sequences(rng, T, N)
            targets = np.full((T, N), IGNORED)
            targets[-1] = has
            loss, _ = model.cross_entropy(x, targets, ignore_index=IGNORED)
            model.zero_grad()
            model.backward()
            adam.lr = options.lr * (1 - step / options.steps)
            descend(adam, model.flat_grads)
            bar.set_postfix_str(f"cross-entropy {loss:.3f}", refresh=False)
            bar.update()
    model.eval()
    return model


def letters_at_rise(x: np.ndarray, opinion: np.ndarray) -> np.ndarray:
    """Return the shares [places, letters] around the steepest rise of the opinion."""
    rises = np.diff(opinion, axis=0)
    t = rises[BEFORE : len(x) - AFTER].argmax(axis=0) + BEFORE + 1
    around = np.arange(-BEFORE, AFTER)[:, None]
    read = x[t + around, np.arange(x.shape[1])]
    return np.array([(read == i).mean(axis=1) for i in range(len(LETTERS))]).T


def main() -> int:
    """Train, compare with the best possible, look inside."""
    options = begin(__doc__, SETTINGS, QUICK)
    model = train(options)
    rng = np.random.default_rng([options.seed, 1])
    x, has, begins = draw_sequences(rng, options.length, 10000)
    seen, had, _ = draw_sequences(rng, options.length, 10000)
    scores, _ = model(x)
    opinion = scores[:, :, 1] - scores[:, :, 0]  # log odds of a motif, at every step
    right = {
        "shares of letters": np.mean(guess_by_shares(x, seen, had) == has),
        "net": np.mean((opinion[-1] > 0) == has),
        "best possible": np.mean(best_guess(x) == has),
    }
    for name, share in right.items():
        print(f"result: {name:17s} {share:.1%} right")
    sure = (opinion[-1] > 0) & (has == 1)
    shares = letters_at_rise(x[:, sure], opinion[:, sure])
    read = "".join(LETTERS[p.argmax()] if p.max() > 0.5 else "." for p in shares)
    print(f"result: the motif is {MOTIF}, the net reads {read}")
    figure = draw(x, begins, sure, opinion, shares, right)
    path = save_figure(options, figure).with_name("states.png")
    write_figure(path, draw_states(model, x, begins, sure))
    print(f"wrote {path}")
    return 0


# --- the pictures --------------------------------------------------------------------


def draw_states(model: fastrnn.Sequential, x: Any, begins: Any, sure: Any) -> Any:
    """Draw the hidden state along one sequence, units in the order of their change."""
    n = int(np.where(sure, abs(begins - len(x) // 2), len(x)).argmin())
    y, _ = model.layers["rnn"](x[:, n : n + 1])
    states, begin = y[:, 0], begins[n]
    change = states[-1] - states[begin]
    letters = [LETTERS[i] for i in x[:, n]]
    title = f"Hidden state along one sequence; the motif begins at step {begin}"
    return fastrnn.plot.states(states[:, np.argsort(change)], letters, title=title)


def draw(x: Any, begins: Any, sure: Any, opinion: Any, shares: Any, right: Any) -> Any:
    """Draw the opinion along some sequences, and the letters where it rises."""
    figure, (left, middle, panel) = new_figure(
        1, 3, figsize=(16, 4.8), width_ratios=[3, 2, 2]
    )
    draw_opinions(left, x, begins, opinion, np.flatnonzero(sure)[:SHOWN])
    draw_table(middle, probabilities(), range(len(MOTIF)))
    middle.set(xlabel="place in the motif", title="The motif: % of each letter")
    image = draw_table(panel, shares, range(-BEFORE + 1, AFTER + 1))
    panel.set(
        xlabel="step after the steepest rise",
        title="Letters at the steepest rise: % of each",
    )
    figure.colorbar(image, ax=panel, label="share of the letter")
    summary = ", ".join(f"{name} {share:.1%}" for name, share in right.items())
    figure.suptitle(f"Is there a motif? {summary}")
    return figure


def draw_opinions(axes: Any, x: Any, begins: Any, opinion: Any, rows: Any) -> None:
    """Draw the opinion along sequences, one above the other."""
    for i, n in enumerate(rows):
        p = 1 / (1 + np.exp(-opinion[:, n]))
        axes.plot(p + 1.2 * i, color="C0")
        motif = begins[n] - 0.5 + np.array([0, len(MOTIF)])
        axes.fill_between(motif, 1.2 * i - 0.16, 1.2 * i + 1, color="grey", alpha=0.25)
        for t, letter in enumerate(x[:, n]):
            axes.text(t, 1.2 * i - 0.13, LETTERS[letter], fontsize=7, ha="center")
    axes.set(
        xlabel="step",
        yticks=[1.2 * i + p for i in range(len(rows)) for p in (0, 1)],
        yticklabels=["0", "1"] * len(rows),
        ylabel="probability of a motif so far",
        title="Opinion of the net on four sequences; grey is the motif",
        ylim=(-0.2, 1.2 * SHOWN - 0.2),
    )


def draw_table(axes: Any, table: np.ndarray, places: Any) -> Any:
    """Draw shares [places, letters] as colours and in %; return the image."""
    image = axes.imshow(table.T, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(table)), places)
    axes.set_yticks(range(len(LETTERS)), LETTERS)
    for k, row in enumerate(table):
        for i, p in enumerate(row):
            axes.text(
                k, i, f"{100 * p:.0f}", ha="center", va="center", fontsize=8,
                color="white" if p > 0.6 else "black",
            )  # fmt: skip
    return image


if __name__ == "__main__":
    sys.exit(run(main))
