from __future__ import annotations

from itertools import product

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import nn

from semicl_monai.engines import MixupPrepareBatch
from semicl_monai.losses import MixupLoss
from semicl_monai.utils import InputError


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def batch():
    """Five images; each label map is filled with the number of its image."""
    labels = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 3, 4)
    return {"image": torch.rand(5, 2, 3, 4), "label": labels}


def test_one_share_and_the_partner_of_the_second_label_map_explain_every_pixel(batch):
    images, (first, second, share) = MixupPrepareBatch()(batch)
    assert share.ndim == 0
    assert 0 < share < 1
    assert torch.equal(first, batch["label"])
    partners = [int(label.unique()) for label in second]
    assert sorted(partners) == [0, 1, 2, 3, 4] != partners
    lam = share.item()
    for i, c, h, w in product(range(5), range(2), range(3), range(4)):
        own, other = batch["image"][i, c, h, w].item(), batch["image"][partners[i], c, h, w].item()
        assert images[i, c, h, w].item() == pytest.approx(lam * own + (1 - lam) * other)


def test_a_batch_of_one_image_stays_as_it_is(batch):
    one = {key: value[:1] for key, value in batch.items()}
    images, (first, second, _) = MixupPrepareBatch()(one)
    assert torch.allclose(images, one["image"])
    assert torch.equal(first, second)


def test_the_seed_of_torch_decides_what_is_mixed(batch):
    def mixed(seed):
        torch.manual_seed(seed)
        return MixupPrepareBatch()(batch)[0]

    assert torch.equal(mixed(3), mixed(3))
    assert not torch.allclose(mixed(3), mixed(4))


@pytest.mark.parametrize("alpha", [0.3, 1, 8])
def test_shares_spread_as_the_beta_distribution_does(alpha):
    """The variance of Beta(a, a) is 1 / (8 a + 4), its mean a half."""
    batch, prepare = {"image": torch.zeros(1, 1, 1), "label": torch.zeros(1, 1, 1)}, MixupPrepareBatch(alpha)
    shares = [prepare(batch)[1][2].item() for _ in range(1000)]
    mean = sum(shares) / 1000
    assert mean == pytest.approx(0.5, abs=0.05)
    assert sum((share - mean) ** 2 for share in shares) / 1000 == pytest.approx(1 / (8 * alpha + 4), rel=0.15)


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan")])
def test_an_alpha_that_is_not_positive_is_refused(alpha):
    with pytest.raises(InputError, match=f"alpha must be positive, got {alpha}"):
        MixupPrepareBatch(alpha)


def test_the_batch_goes_to_the_device_and_the_type_asked_for(batch):
    images, targets = MixupPrepareBatch()(batch, "meta", non_blocking=True, dtype=torch.float64)
    assert {tensor.device.type for tensor in (images, *targets)} == {"meta"}
    assert {tensor.dtype for tensor in (images, *targets)} == {torch.float64}


def test_a_trainer_takes_a_step_on_mixed_images(batch):
    """An oracle: the loss the trainer reports is that of both label maps, from the initial weights."""
    network = nn.Conv2d(2, 1, 1)
    prepare = ConfigParser(
        {"prepare_batch": {"_target_": "semicl_monai.engines.MixupPrepareBatch", "alpha": 2}}
    ).get_parsed_content("prepare_batch")
    state = torch.get_rng_state()
    images, (first, second, share) = prepare(batch)
    pred, lam = network(images).detach(), share.item()
    errors = [((pred - label) ** 2).mean().item() for label in (first, second)]
    torch.set_rng_state(state)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=MixupLoss(nn.MSELoss()),
        prepare_batch=prepare,
        decollate=False,
    )
    trainer.run()
    assert trainer.state.output["loss"].item() == pytest.approx(lam * errors[0] + (1 - lam) * errors[1])
