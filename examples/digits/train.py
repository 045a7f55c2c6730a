"""Trains a small convolutional network on scikit-learn's digits, as a TRACED job: 1,797 images of
8x8 pixels.
"""

import argparse
import json

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from worker.sdk import JobContext, StepResult, TracedJob

BATCH = 64
TEST_SHARE = 0.2


class Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """float32[batch, 1, 8, 8] -> float32[batch, 10]"""
        return self.layers(images)


class DigitsCnn(TracedJob):
    def init(self, context: JobContext) -> None:
        parser = argparse.ArgumentParser(prog="train:DigitsCnn")
        parser.add_argument("--lr", type=float, default=0.05)
        parser.add_argument("--width", type=int, default=32)
        options = parser.parse_args(context.arguments)
        self.device = torch.device(context.device)
        self.load_data(context.seed)
        self.model = Network(options.width).to(self.device)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=options.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        # Momentum exists from the first step on, so that every state has the same tensors.
        for parameter in self.model.parameters():
            self.optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        self.lr, self.steps = options.lr, context.steps

    def load_data(self, seed: int) -> None:
        """The split depends on the seed alone."""
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        labels = torch.tensor(digits.target, dtype=torch.int64)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        test_count = int(len(labels) * TEST_SHARE)
        test, train = order[:test_count], order[test_count:]
        self.train_images, self.train_labels = images[train], labels[train]
        self.test_images, self.test_labels = images[test], labels[test]

    def step(self, index: int) -> StepResult:
        chosen = torch.randint(len(self.train_labels), (BATCH,))
        images, labels = self.augment(self.train_images[chosen]), self.train_labels[chosen]
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * (1 - index / self.steps)
        loss = functional.cross_entropy(self.model(images.to(self.device)), labels.to(self.device))
        # Freed after each step, gradients are no part of the state.
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return StepResult(batch={"images": images, "labels": labels}, metrics={"loss": loss.item()})

    @staticmethod
    def augment(images: Tensor) -> Tensor:
        """Shifts each image by up to one pixel."""
        padded = functional.pad(images, (1, 1, 1, 1))
        corners = torch.randint(3, (len(images), 2)).tolist()
        return torch.stack(
            [image[:, y : y + 8, x : x + 8] for image, (y, x) in zip(padded, corners, strict=True)]
        )

    def state(self) -> dict[str, Tensor]:
        state = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            state[f"momentum/{name}"] = self.optimizer.state[parameter]["momentum_buffer"]
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        parts = {
            name.removeprefix("model/"): tensor for name, tensor in state.items() if name.startswith("model/")
        }
        self.model.load_state_dict(parts)
        for name, parameter in self.model.named_parameters():
            self.optimizer.state[parameter]["momentum_buffer"].copy_(state[f"momentum/{name}"])

    def finish(self, context: JobContext) -> None:
        self.model.eval()
        with torch.inference_mode():
            guesses = self.model(self.test_images.to(self.device)).argmax(dim=1).cpu()
        right = int((guesses == self.test_labels).sum())
        metrics = {"test_accuracy": right / len(guesses), "test_images": len(guesses), "test_right": right}
        (context.output / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        weights = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        save_file(weights, str(context.output / "model.safetensors"))
        print(f"test accuracy {metrics['test_accuracy']:.4f}", flush=True)
