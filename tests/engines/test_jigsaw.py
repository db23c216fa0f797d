from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import nn

from semicl_monai.engines import JigsawPrepareBatch


@pytest.fixture
def batch():
    """Two images of nine patches; every patch is filled with the number of its image and its own."""
    patches = torch.stack([torch.stack([torch.full((1, 2, 2), 10.0 * i + p) for p in range(9)]) for i in range(2)])
    return {"image": torch.rand(2, 1, 6, 6), "patches": patches, "case": ["a", "b"], "place": torch.tensor([4, 4])}


def test_patches_stand_image_by_image_in_their_order(batch):
    images, _, (patches,), options = JigsawPrepareBatch()(batch)
    assert images is batch["image"]
    assert patches.shape == (18, 1, 2, 2)
    assert patches[:, 0, 1, 1].tolist() == [*range(9), *range(10, 19)]
    assert options == {}


def test_the_target_is_a_number_for_each_slice(batch):
    _, numbers, _, _ = JigsawPrepareBatch()(batch)
    assert numbers.shape == (2,)
    assert numbers[0] != numbers[1]
    _, again, _, _ = JigsawPrepareBatch()({**batch, "case": ["b", "b"]})
    assert again.tolist() == [numbers[1]] * 2


def test_the_batch_goes_to_the_device_and_the_type_asked_for(batch):
    images, numbers, (patches,), _ = JigsawPrepareBatch()(batch, "meta", non_blocking=True, dtype=torch.float64)
    assert {images.device.type, numbers.device.type, patches.device.type} == {"meta"}
    assert (images.dtype, numbers.dtype, patches.dtype) == (torch.float64, torch.int64, torch.float64)


def test_a_trainer_gives_the_network_images_and_patches_and_the_loss_the_numbers(batch):
    class Network(nn.Linear):
        def forward(self, images, patches):
            return super().forward(images.mean((1, 2, 3))[:, None]), patches.shape

    def loss(pred, target):
        seen.append((pred[1], target.tolist()))
        return pred[0].sum()

    seen, network = [], Network(1, 1)
    config = {"prepare_batch": {"_target_": "semicl_monai.engines.JigsawPrepareBatch"}}
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=loss,
        prepare_batch=ConfigParser(config).get_parsed_content("prepare_batch"),
        decollate=False,
    ).run()
    assert seen == [((18, 1, 2, 2), JigsawPrepareBatch()(batch)[1].tolist())]
