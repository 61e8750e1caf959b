"""Learning from rewards, with a memory: an actor and a critic in a corridor.

    python examples/actor_critic.py
    python examples/actor_critic.py --length 20 --chunk 40

A walker starts in a corridor and sees a sign, on the first step alone: left or right.
It walks on, and at the end of the corridor there is a fork. Turning as the sign said
brings a reward of 1, turning the other way costs 1, and every step costs 0.02, so that
walking into walls does not pay. At the fork all the walker sees is that it is a fork.
Without a memory it can do no better than toss a coin there.

The net is a GRU with two `Heads`: the actor gives scores of the three actions, the
critic the reward that it still expects. Many walkers go side by side. Every `--chunk`
steps the net learns from what has happened: actions that brought more than the critic
had expected become likelier, others less likely (that difference is the advantage), and
the critic's expectation moves to what came.

Episodes are of unequal length and end within a chunk. `resets` marks the first step of
each, where the state begins anew and no gradient passes, so that a chunk is one call,
forward and backward. The state at the end of a chunk is where the next one begins, but
the gradient stops there: backpropagation through time is truncated.

The gradient of the actor is that of a cross-entropy with the chosen actions as targets
and the advantages as `weights`. A net without a memory, a linear layer with tanh in
place of the GRU, learns in the same way.

Sources: R. Williams, "Simple statistical gradient-following algorithms for
connectionist reinforcement learning", 1992; B. Bakker, "Reinforcement learning with
long short-term memory", 2001 (the corridor); V. Mnih et al., "Asynchronous methods for
deep reinforcement learning", 2016 (the advantage).
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import _readers as read
import numpy as np
from _errors import run
from _program import begin, descend, new_figure, progress, save_figure
from _settings import Setting

import fastrnn

SETTINGS = [
    Setting(
        "length", 10, "steps through the longest corridor", read.number(int, 2, 100)
    ),
    Setting("walkers", 32, "side by side", read.rows),
    Setting(
        "chunk", 20, "steps between two steps of learning", read.number(int, 2, 1000)
    ),
    Setting("updates", 1000, "steps of learning", read.steps),
    Setting("hidden", 32, "hidden units", read.units),
    Setting("lr", 3e-3, "Adam's learning rate", read.rate),
]
QUICK = {"updates": 500, "length": 6}
AHEAD, LEFT, RIGHT = ACTIONS = range(3)
SIGN_LEFT, SIGN_RIGHT, CORRIDOR, FORK = range(4)  # what is seen
STEP_COSTS = 0.02
DISCOUNT = 0.97  # of a reward for each step that it is away
BONUS = 0.01  # for undecided actors, who try more


class Corridors:
    """A corridor for each walker, and a new one wherever an episode ends."""

    def __init__(self, rng: np.random.Generator, N: int, shortest: int, longest: int):
        """Put every walker at the beginning of a corridor."""
        self.rng, self.bounds = rng, (shortest, longest + 1)
        self.sign, self.place, self.length = np.zeros((3, N), int)
        self.enter(np.ones(N, bool))

    def enter(self, new: np.ndarray) -> None:
        """Put these walkers at the beginning of another corridor."""
        K = np.count_nonzero(new)
        self.place[new] = 0
        self.sign[new] = self.rng.integers(0, 2, K)
        self.length[new] = self.rng.integers(*self.bounds, K)

    def look(self) -> np.ndarray:
        """Return what each walker sees."""
        seen = np.where(self.place == self.length, FORK, CORRIDOR)
        return np.where(self.place == 0, self.sign, seen)

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rewards, and which episodes have ended; these begin anew."""
        at_fork = self.place == self.length
        ended = at_fork & (actions != AHEAD)
        right = (actions == RIGHT) == (self.sign == SIGN_RIGHT)
        rewards = np.where(ended, np.where(right, 1.0, -1.0), -STEP_COSTS)
        self.place += ~at_fork & (actions == AHEAD)
        self.enter(ended)
        return rewards.astype(np.float32), ended


class Chunk(NamedTuple):
    """What the walkers saw, did and got, each [steps, walkers]."""

    seen: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    begins: np.ndarray  # the step is the first one of an episode
    ends: np.ndarray  # the step is the last one
    state: Any  # before the first step
    after: np.ndarray  # the rewards that the critic expects after the last step


def make(memory: bool, options: Any) -> fastrnn.Sequential:
    """Return a net: what is seen in, scores of actions and a value out."""
    rng, H = np.random.default_rng([options.seed, 1]), options.hidden
    heads = fastrnn.Heads(
        actor=fastrnn.Linear(H, len(ACTIONS), seed=rng),
        critic=fastrnn.Linear(H, 1, seed=rng),
    )
    if memory:
        rnn = fastrnn.GRU(4, H, init="keras", seed=rng)
        return fastrnn.Sequential(rnn=rnn, heads=heads)
    body = fastrnn.Embedding(4, H, seed=rng)
    return fastrnn.Sequential(body=body, tanh=fastrnn.Activation("tanh"), heads=heads)


class Walk:
    """Walkers who act as a net says, on and on."""

    def __init__(self, model: Any, world: Corridors, rng: np.random.Generator) -> None:
        """Begin at the beginning of all corridors."""
        self.model, self.world, self.rng = model, world, rng
        self.state: Any = None
        self.begins = np.ones(len(world.sign), bool)
        self.episodes: list[float] = []  # the sum of rewards of each
        self.sums = np.zeros(len(world.sign))

    def go(self, T: int) -> Chunk:
        """Take T steps."""
        before, rows = self.state, []
        for _ in range(T):
            seen, begins = self.world.look(), self.begins
            y, self.state = self.model(seen[None], self.state, resets=begins[None])
            actions = choose(y["actor"][0], self.rng)
            rewards, ends = self.world.act(actions)
            rows.append((seen, actions, rewards, begins, ends))
            self.begins = ends
            self.sums += rewards
            self.episodes += self.sums[ends].tolist()
            self.sums[ends] = 0
        seen = self.world.look()[None]
        y, _ = self.model(seen, self.state, resets=self.begins[None])
        columns = (np.array(column) for column in zip(*rows, strict=True))
        return Chunk(*columns, before, y["critic"][0, :, 0])


def choose(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an action for each walker, drawn from the softmax of its scores."""
    edges = np.cumsum(fastrnn.softmax(scores), axis=1)
    return (rng.random((len(scores), 1)) * edges[:, -1:] > edges).sum(axis=1)


def returns(chunk: Chunk) -> np.ndarray:
    """Return the discounted rewards from each step to the end of its episode.

    Where that is after the chunk, the critic says what is still to come.
    """
    found, to_come = np.empty_like(chunk.rewards), chunk.after
    for t in reversed(range(len(found))):
        to_come = chunk.rewards[t] + DISCOUNT * np.where(chunk.ends[t], 0, to_come)
        found[t] = to_come
    return found


def learn_from(chunk: Chunk, model: Any, adam: Any) -> None:
    """Make actions that brought more than expected likelier, and expect what came."""
    y, _ = model(chunk.seen, chunk.state, resets=chunk.begins)
    scores, values = y["actor"], y["critic"]
    due = returns(chunk)[..., None]
    advantages = (due - values)[..., 0] / due.size
    # The scores are those of a linear layer already: the one here changes nothing.
    _, grads = fastrnn.linear_cross_entropy(
        scores,
        np.eye(len(ACTIONS), dtype=np.float32),
        None,
        chunk.actions,
        weights=advantages,
        reduction="sum",
        wanted=("dy",),
    )
    logs = fastrnn.log_softmax(scores)
    p = np.exp(logs)
    undecided = p * (logs - (p * logs).sum(axis=-1, keepdims=True))
    _, dvalues = fastrnn.mean_squared_error(values, due)
    dscores = grads.dy + BONUS / due.size * undecided
    model.zero_grad()
    model.backward({"actor": dscores, "critic": dvalues})
    descend(adam, model.flat_grads)


def train(model: Any, options: Any, bar: Any) -> tuple[list[float], list[float]]:
    """Return steps, and the mean reward of the episodes that ended up to each."""
    rng = np.random.default_rng([options.seed, 2])
    world = Corridors(rng, options.walkers, options.length // 2, options.length)
    walk, adam = Walk(model, world, rng), fastrnn.Adam(model, lr=options.lr)
    steps, means = [], []
    for update in range(1, options.updates + 1):
        learn_from(walk.go(options.chunk), model, adam)
        bar.update()
        if len(walk.episodes) >= 500 or (update == options.updates and walk.episodes):
            steps.append(update)
            means.append(float(np.mean(walk.episodes)))
            walk.episodes.clear()
    return steps, means


def random_walker(seen: np.ndarray, *_: Any, **__: Any) -> tuple[Any, None]:
    """Return equal scores for all actions, in the place of a net."""
    T, N = seen.shape
    y = {"actor": np.zeros((T, N, len(ACTIONS))), "critic": np.zeros((T, N, 1))}
    return y, None


def test(model: Any, shortest: int, longest: int) -> tuple[float, float]:
    """Return the mean reward of new episodes, and the share of correct turns."""
    rng = np.random.default_rng(0)
    walk = Walk(model, Corridors(rng, 200, shortest, longest), rng)
    chunk = walk.go(10 * longest)
    if not walk.episodes:
        return np.nan, np.nan
    return float(np.mean(walk.episodes)), float(np.mean(chunk.rewards[chunk.ends] > 0))


def main() -> int:
    """Train with and without a memory, test, print and draw."""
    options = begin(__doc__, SETTINGS, QUICK)
    shortest, longest = options.length // 2, options.length
    nets = {"with a memory": True, "without": False}
    models = {name: make(memory, options) for name, memory in nets.items()}
    with progress(2 * options.updates) as bar:
        curves = {name: train(a, options, bar) for name, a in models.items()}
    rewards = {name: test(a.eval(), shortest, longest)[0] for name, a in models.items()}
    rewards["at random"] = test(random_walker, shortest, longest)[0]
    best = 1 - STEP_COSTS * (shortest + longest) / 2
    lengths = np.unique(np.geomspace(2, 8 * longest, 12).round().astype(int))
    turns = {
        name: [test(a, length, length)[1] for length in lengths]
        for name, a in models.items()
    }
    for name, reward in rewards.items():
        print(f"{name}: mean reward of an episode {reward:.3f}")
    share = turns["with a memory"][-1]
    print(f"in corridors of {lengths[-1]} steps, {share:.1%} of its turns are correct")
    with_memory, without, at_random = rewards.values()
    print(
        f"result: mean reward {with_memory:.3f} with a memory, {without:.3f} without, "
        f"{at_random:.3f} at random (best possible {best:.3f})"
    )
    bounds = shortest, longest
    save_figure(options, draw(curves, rewards, best, (lengths, turns), bounds))
    return 0


# --- the picture ---------------------------------------------------------------------


def draw(curves: Any, rewards: Any, best: float, by_length: Any, bounds: Any) -> Any:
    """Draw rewards over training, and correct turns by length of the corridor."""
    figure, (left, right) = new_figure(1, 2, figsize=(14, 5))
    for name, (updates, means) in curves.items():
        left.plot(updates, means, label=name)
    left.axhline(best, color="black", linestyle="--", label="best possible")
    left.axhline(rewards["at random"], color="grey", linestyle=":", label="at random")
    left.set(xlabel="step of learning", ylabel="mean reward of an episode")
    left.set_title("Rewards while learning")
    lengths, turns = by_length
    for name, shares in turns.items():
        right.plot(lengths, shares, marker=".", label=name)
    right.axvspan(*bounds, color="grey", alpha=0.2, label="lengths in training")
    right.axhline(0.5, color="grey", linestyle=":", label="a coin")
    right.set(xlabel="steps through the corridor", ylabel="share of correct turns")
    right.set(xscale="log", ylim=(0, 1.05), title="Longer corridors than in training")
    right.set_xticks(lengths, lengths)
    right.minorticks_off()
    for axes, place in ((left, "right"), (right, "lower right")):
        axes.grid(alpha=0.3)
        axes.legend(loc=place)
    return figure


if __name__ == "__main__":
    sys.exit(run(main))
