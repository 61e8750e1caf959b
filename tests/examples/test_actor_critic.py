"""`examples/actor_critic.py`: only a net with a memory turns as the sign said."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.examples.programs import load, numbers, run_quickly


def test_a_memory_is_needed(tmp_path: Path) -> None:
    said = run_quickly("actor_critic.py", tmp_path).split("result:")[1]
    reward = r"(-?\d\.\d{3})"
    (with_memory,) = numbers(rf"reward {reward} with a memory", said)
    (without,) = numbers(rf"{reward} without", said)
    (at_random,) = numbers(rf"{reward} at random", said)
    (best,) = numbers(rf"best possible {reward}", said)
    assert best == pytest.approx(1 - 0.02 * 4.5)  # of 3 to 6 steps
    assert with_memory > best - 0.1
    assert without < 0.1
    assert at_random < -0.2


def test_the_world() -> None:
    ac = load("actor_critic")
    world = ac.Corridors(np.random.default_rng(0), 3, 2, 2)
    world.sign[:] = 0, 1, 1
    assert world.look().tolist() == [ac.SIGN_LEFT, ac.SIGN_RIGHT, ac.SIGN_RIGHT]
    rewards, ended = world.act(np.array([ac.AHEAD, ac.AHEAD, ac.LEFT]))  # a wall
    assert not ended.any()
    np.testing.assert_allclose(rewards, -0.02)
    assert world.look().tolist() == [ac.CORRIDOR, ac.CORRIDOR, ac.SIGN_RIGHT]
    world.act(np.full(3, ac.AHEAD))
    assert world.look().tolist() == [ac.FORK, ac.FORK, ac.CORRIDOR]
    rewards, ended = world.act(np.array([ac.LEFT, ac.LEFT, ac.AHEAD]))
    np.testing.assert_allclose(rewards, [1, -1, -0.02])
    assert ended.tolist() == [True, True, False]
    assert (world.look()[:2] <= 1).all()  # a sign again


def walk_of(T: int) -> tuple[Any, Any, Any]:
    ac = load("actor_critic")
    model = ac.make(True, SimpleNamespace(seed=0, hidden=8))
    world = ac.Corridors(np.random.default_rng(1), 5, 1, 3)
    walk = ac.Walk(model, world, np.random.default_rng(2))
    return model, walk, [walk.go(T) for _ in range(3)]


def test_the_walk_and_the_chunk_give_the_same_scores() -> None:
    """Step by step with the state, or at once with resets: the critic agrees."""
    model, _, chunks = walk_of(7)
    assert sum(chunk.ends.any() for chunk in chunks) == 3
    for chunk, after in itertools.pairwise(chunks):
        np.testing.assert_array_equal(after.begins[0], chunk.ends[-1])
        y, _ = model(after.seen, after.state, resets=after.begins)
        np.testing.assert_array_equal(y["critic"][0, :, 0], chunk.after)


def test_rewards_of_an_episode_are_added_up() -> None:
    _, walk, chunks = walk_of(40)
    rewards = np.concatenate([c.rewards for c in chunks])
    ends = np.concatenate([c.ends for c in chunks])
    assert len(walk.episodes) == ends.sum()
    whole = sum(walk.episodes) + walk.sums.sum()
    assert whole == pytest.approx(float(rewards.sum()), abs=1e-3)
    assert max(walk.episodes) < 1


def test_returns_stop_at_the_end_of_an_episode() -> None:
    ac = load("actor_critic")
    rewards = np.array([[1.0], [2.0], [4.0]], np.float32)
    ends = np.array([[False], [True], [False]])
    chunk = ac.Chunk(rewards, rewards, rewards, ends, ends, None, np.array([8.0]))
    d = ac.DISCOUNT
    expected = [1 + d * 2, 2, 4 + d * 8]
    np.testing.assert_allclose(ac.returns(chunk)[:, 0], expected, rtol=1e-6)


def test_the_gradient_is_that_of_the_loss() -> None:
    """Against differences of the actor's loss, its bonus and the critic's loss."""
    ac = load("actor_critic")
    model, _, chunks = walk_of(6)
    chunk = chunks[1]
    due, steps = ac.returns(chunk), chunk.rewards.size
    y, _ = model(chunk.seen, chunk.state, resets=chunk.begins)
    advantages = due - y["critic"][..., 0]  # held fixed

    def loss() -> float:
        y, _ = model(chunk.seen, chunk.state, resets=chunk.begins)
        logs = fastrnn.log_softmax(y["actor"].astype(np.float64))
        chosen = np.take_along_axis(logs, chunk.actions[..., None], 2)[..., 0]
        entropy = -(np.exp(logs) * logs).sum(axis=2)
        squares = (y["critic"][..., 0].astype(np.float64) - due) ** 2
        per_step = -advantages * chosen - ac.BONUS * entropy
        return float(per_step.sum() / steps + squares.mean())

    class Still:
        lr = 0.0

        def step(self, grads: Any) -> None:
            self.grads = grads.copy()

    adam = Still()
    ac.learn_from(chunk, model, adam)
    for i in np.argsort(-abs(adam.grads))[:8]:
        before, h = model.flat_params[i], 1e-2
        values = []
        for moved in (before + h, before - h):
            model.flat_params[i] = moved
            values.append(loss())
        model.flat_params[i] = before
        slope = (values[0] - values[1]) / (2 * h)
        assert adam.grads[i] == pytest.approx(slope, rel=0.02)
