"""Three models written for plain PyTorch, before and after the one line."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

import fastrnn.torch  # noqa: E402

STEPS = 50


class Tagger(nn.Module):
    """A tag for every word: a bidirectional LSTM over packed batches."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 16, padding_idx=0)
        self.lstm = nn.LSTM(
            16, 24, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3
        )
        self.out = nn.Linear(48, 5)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return logits [N, T, 5]."""
        x = pack_padded_sequence(
            self.embedding(words), lengths, batch_first=True, enforce_sorted=False
        )
        y, _ = self.lstm(x)
        return self.out(pad_packed_sequence(y, batch_first=True)[0])


def tagger_loss(model: nn.Module, step: int) -> Tensor:
    """The tag of a word is its remainder, except 0 after an odd word."""
    lengths = torch.randint(1, 13, (8,))
    lengths[0] = 12
    words = torch.randint(1, 30, (8, 12))
    tags = torch.where(words.roll(1, 1) % 2 == 1, 0, words % 5)
    tags[torch.arange(12) >= lengths[:, None]] = -100
    logits = model(words, lengths)
    return functional.cross_entropy(logits.transpose(1, 2), tags)


class Seq2Seq(nn.Module):
    """A GRU encoder, and a GRU decoder that attends to it step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 16)
        self.encoder = nn.GRU(16, 20, bidirectional=True)
        self.bridge = nn.Linear(40, 20)
        self.decoder = nn.GRU(16 + 40, 20)
        self.score = nn.Linear(20, 40, bias=False)
        self.out = nn.Linear(20 + 40, 12)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return logits [T, N, 12] under teacher forcing."""
        memory, h = self.encoder(self.embedding(source))
        h = torch.tanh(self.bridge(torch.cat([h[0], h[1]], -1)))[None]
        context = memory.mean(0)
        logits = []
        for word in self.embedding(target):
            y, h = self.decoder(torch.cat([word, context], -1)[None], h)
            weights = torch.einsum("nk,snk->sn", self.score(y[0]), memory).softmax(0)
            context = torch.einsum("sn,snk->nk", weights, memory)
            logits.append(self.out(torch.cat([y[0], context], -1)))
        return torch.stack(logits)


def seq2seq_loss(model: nn.Module, step: int) -> Tensor:
    """Write the source backwards."""
    source = torch.randint(2, 12, (6, 8))
    target = source.flip(0)
    begun = torch.cat([torch.ones(1, 8, dtype=torch.int64), target[:-1]])
    return functional.cross_entropy(
        model(source, begun).flatten(0, 1), target.flatten()
    )


class ActorCritic(nn.Module):
    """A recurrent policy and its value, one step at a time for 8 environments."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 32), nn.ReLU())
        self.rnn = nn.LSTM(32, 32)
        self.policy = nn.Linear(32, 4)
        self.value = nn.Linear(32, 1)

    def forward(self, seen: Tensor, state: Any) -> Any:
        """Return logits [N, 4], values [N] and the state."""
        y, state = self.rnn(self.features(seen)[None], state)
        return self.policy(y[0]), self.value(y[0])[:, 0], state


def actor_critic_loss(model: nn.Module, step: int) -> Tensor:
    """Remember which of 4 actions was shown first; 5 steps, then one update."""
    shown = torch.randint(0, 4, (8,))
    state, losses = None, []
    for t in range(5):
        seen = torch.randn(8, 6) * 0.1
        if t == 0:
            seen[torch.arange(8), shown] = 1
        logits, value, state = model(seen, state)
        action = torch.distributions.Categorical(logits=logits).sample()
        reward = (action == shown).float()
        gain = reward - value
        chosen = logits.log_softmax(-1)[torch.arange(8), action]
        losses.append(-(chosen * gain.detach()) + gain.square())
    return torch.stack(losses).mean()


Loss = Callable[[nn.Module, int], Tensor]
MODELS: dict[str, tuple[type[nn.Module], Loss]] = {
    "tagger": (Tagger, tagger_loss),
    "seq2seq": (Seq2Seq, seq2seq_loss),
    "actor-critic": (ActorCritic, actor_critic_loss),
}


def train(model: nn.Module, loss_of: Loss) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(STEPS):
        torch.manual_seed(step)  # the batch, dropout, sampled actions
        optimizer.zero_grad()
        loss = loss_of(model, step)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_equal_losses(name: str) -> None:
    """Over 50 steps of Adam, within the rounding of float32; and it learns."""
    make, loss_of = MODELS[name]
    torch.manual_seed(0)
    plain = make()
    fast = fastrnn.torch.accelerate(copy.deepcopy(plain))
    assert fastrnn.torch.report(fast).replaced
    assert not fastrnn.torch.report(fast).left
    expected = train(plain, loss_of)
    got = train(fast, loss_of)
    torch.testing.assert_close(
        torch.tensor(got), torch.tensor(expected), rtol=2e-4, atol=2e-4
    )
    assert sum(got[-10:]) < 0.97 * sum(got[:10])
