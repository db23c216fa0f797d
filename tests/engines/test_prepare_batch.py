from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import nn

from semicl_monai.engines import TwoViewPrepareBatch
from semicl_monai.losses import NTXentLoss


@pytest.fixture
def batch():
    shape = (3, 1, 2, 2)
    names = ("view1_image", "view2_image", "view1_label", "view2_label")
    return {name: torch.full(shape, float(value)) for value, name in enumerate(names)}


def test_all_first_views_stand_before_all_second_ones(batch):
    images, labels = TwoViewPrepareBatch()(batch)
    assert images.shape == labels.shape == (6, 1, 2, 2)
    assert images[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert labels[:, 0, 0, 0].tolist() == [2, 2, 2, 3, 3, 3]


def test_an_unlabelled_batch_has_no_target(batch):
    del batch["view1_label"], batch["view2_label"]
    images, labels = TwoViewPrepareBatch()(batch)
    assert images.shape[0] == 6
    assert labels is None


def test_views_of_other_images_are_a_further_argument_of_the_network(batch):
    others = {f"unlabelled_view{view}_image": torch.full((2, 1, 4, 4), 10.0 + view) for view in (1, 2)}
    images, labels, (unlabelled,), named = TwoViewPrepareBatch()({**batch, **others}, dtype=torch.float64)
    torch.testing.assert_close((images, labels), TwoViewPrepareBatch()(batch, dtype=torch.float64))
    assert unlabelled[:, 0, 0, 0].tolist() == [11, 11, 12, 12]
    assert (unlabelled.shape, unlabelled.dtype, named) == ((4, 1, 4, 4), torch.float64, {})


def test_the_batch_goes_to_the_device_and_the_type_asked_for(batch):
    images, labels = TwoViewPrepareBatch()(batch, device="meta", non_blocking=True, dtype=torch.float64)
    assert {images.device.type, labels.device.type} == {"meta"}
    assert {images.dtype, labels.dtype} == {torch.float64}


def test_both_views_of_an_image_have_the_target_asked_for(batch):
    """Also where there are labels; as integers, whatever type the images get."""
    targets = torch.tensor([[7, 2, 40], [7, 3, 40], [9, 2, 41]])
    prepare = TwoViewPrepareBatch(target=lambda batchdata: targets)
    images, found = prepare(batch, dtype=torch.float16)
    assert images.shape == (6, 1, 2, 2)
    assert found.tolist() == targets.tolist() * 2
    assert (images.dtype, found.dtype) == (torch.float16, torch.int64)
    assert prepare(batch, device="meta")[1].device.type == "meta"


def test_slices_of_volumes_are_targets_from_a_config(batch):
    config = {
        "prepare_batch": {
            "_target_": "semicl_monai.engines.TwoViewPrepareBatch",
            "target": {"_target_": "semicl_monai.engines.place_in_volume", "_mode_": "callable"},
        }
    }
    del batch["view1_label"], batch["view2_label"]
    batch |= {"case": ["a", "b", "a"], "place": torch.tensor([2, 3, 4]), "num_places": torch.tensor([40, 41, 40])}
    _, target = ConfigParser(config).get_parsed_content("prepare_batch")(batch)
    assert target.place.tolist() == [[2], [3], [4]] * 2
    assert target.num_places.tolist() == [[40], [41], [40]] * 2
    volume = target.volume.tolist()
    assert volume[0] == volume[2] == volume[3] != volume[1]


def test_a_trainer_takes_a_step_on_two_unlabelled_views():
    """An oracle: the loss the trainer reports is the loss of the two views, computed from the initial weights."""
    torch.manual_seed(0)
    views = {f"view{n}_image": torch.randn(3, 1, 2, 2) for n in (1, 2)}
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    embeddings = network(torch.cat([views["view1_image"], views["view2_image"]]))
    wanted = NTXentLoss(temperature=0.5)(embeddings, None).item()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[views],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=NTXentLoss(temperature=0.5),
        prepare_batch=TwoViewPrepareBatch(),
        decollate=False,
    )
    trainer.run()
    assert trainer.state.output["loss"].item() == pytest.approx(wanted)


def test_it_builds_from_a_config(batch):
    config = {"prepare_batch": {"_target_": "semicl_monai.engines.TwoViewPrepareBatch"}}
    assert ConfigParser(config).get_parsed_content("prepare_batch")(batch)[0].shape == (6, 1, 2, 2)
