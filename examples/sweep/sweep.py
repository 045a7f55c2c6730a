"""One point of a sweep: fits a tiny network to a spiral with the learning rate it is given. An ordinary
script.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
from torch import nn

STEPS = 1500


def spiral(points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two interleaved arms: float32[2 * points, 2], int64[2 * points]."""
    angle = torch.linspace(0.5, 9.0, points)
    arm = torch.stack([angle.cos(), angle.sin()], dim=1) * (angle / 9).unsqueeze(1)
    labels = torch.arange(2).repeat_interleave(points)
    return torch.cat([arm, -arm]) + 0.02 * torch.randn(2 * points, 2), labels


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    began = time.monotonic()
    points, labels = spiral(250)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    loss = torch.zeros(())
    for step in range(STEPS):
        loss = nn.functional.cross_entropy(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 300 == 0:
            print(f"step {step} loss {loss.item():.4f}", flush=True)
    accuracy = (model(points).argmax(dim=1) == labels).float().mean().item()
    result = {
        "lr": options.lr,
        "loss": loss.item(),
        "accuracy": accuracy,
        "seconds": time.monotonic() - began,
    }
    output = Path(os.environ.get("GPGPU_OUTPUT", "."))
    (output / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"lr {options.lr} accuracy {accuracy:.4f}", flush=True)


if __name__ == "__main__":
    main()
