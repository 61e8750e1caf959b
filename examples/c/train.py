"""Trains a GRU to hear a melody through noise, in PyTorch, for stream.c to run.

python examples/c/train.py denoiser.safetensors [STEPS]
"""

from __future__ import annotations

import sys

import torch

import fastrnn


class Denoiser(torch.nn.Module):
    """From a noisy sample, and those before it, to the clean one."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(1, 32, batch_first=True)
        self.head = torch.nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(x)
        clean: torch.Tensor = self.head(y)
        return clean


def melodies(count: int, samples: int) -> torch.Tensor:
    """Return tones of random pitch and loudness at 8 kHz, [count, samples, 1]."""
    pitch = 100 * 2 ** (3 * torch.rand(count, 1))
    phase = 2 * torch.pi * (pitch / 8000 * torch.arange(samples) + torch.rand(count, 1))
    return ((0.2 + 0.6 * torch.rand(count, 1)) * torch.sin(phase))[..., None]


def main() -> None:
    path, steps = sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 300
    torch.manual_seed(0)
    model = Denoiser()
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        clean = melodies(16, 256)
        loss = ((model(clean + 0.1 * torch.randn_like(clean)) - clean) ** 2).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step % 50 == 0:
            print(f"step {step}: error {loss.item() ** 0.5:.3f}, with noise of 0.1")
    fastrnn.save(path, {k: v.numpy() for k, v in model.state_dict().items()})


if __name__ == "__main__":
    main()
