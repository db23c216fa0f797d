"""A training stage in which everything is random: weights, dropout, augmentation and order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.transforms import Compose, RandGaussianNoised
from torch import nn
from torch.utils.data import RandomSampler


class Stage:
    """A stage of ``epochs`` epochs of four batches; its initial weights follow from ``seed``.

    Args:
        seed: of the weights; the random state of everything else is left as it is.
        epochs: how many.
        channels: width of the network.
        options: other arguments of the trainer.
    """

    def __init__(self, seed: int = 0, epochs: int = 4, channels: int = 3, **options: Any) -> None:
        generator = torch.Generator().manual_seed(7)
        records = [{key: torch.rand(1, 4, 4, generator=generator) for key in ("image", "label")} for _ in range(8)]
        dataset = Dataset(records, Compose([RandGaussianNoised("image", prob=1.0)]))
        self.dataloader = DataLoader(dataset, batch_size=2, sampler=RandomSampler(dataset, generator=torch.Generator()))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.Dropout(), nn.Conv2d(channels, 1, 1))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=1, gamma=0.5)
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=self.dataloader,
            network=self.network,
            optimizer=self.optimizer,
            loss_function=nn.MSELoss(),
            **options,
        )

    @property
    def objects(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"network": self.network, "optimizer": self.optimizer, "lr_scheduler": self.scheduler}

    def weights(self) -> list[torch.Tensor]:
        """A copy of the weights."""
        return [p.detach().clone() for p in self.network.parameters()]

    def run(self, *handlers: Any) -> Stage:
        """Attach the handlers in their order and train."""
        for handler in handlers:
            handler.attach(self.trainer)
        self.trainer.run()
        return self


@pytest.fixture
def stage() -> type[Stage]:
    """The class of the stage; each call makes new objects."""
    return Stage


@pytest.fixture
def images(tmp_path: Path) -> dict[str, dict[str, str]]:
    """Records of the images ``a`` to ``g``, all different."""
    for name in "abcdefg":
        volume = np.full((2, 3, 4), ord(name), np.int16)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / f"{name}.nii.gz")
    return {name: {"image": str(tmp_path / f"{name}.nii.gz")} for name in "abcdefg"}


@pytest.fixture
def seen(images: dict[str, dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """What a stage sees: a labelled image, two more, and one for validation."""
    parts = {"labelled": "a", "unlabelled": "abc", "validation": "d"}
    return {part: [images[name] for name in names] for part, names in parts.items()}


@pytest.fixture(autouse=True)
def keep_random_state() -> Iterator[None]:
    """Leave torch's random state as it was: the handlers under test seed it."""
    with torch.random.fork_rng():
        yield
