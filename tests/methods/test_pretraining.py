from __future__ import annotations

import torch
from monai.networks.nets import BasicUNet

from semicl_monai.methods import SimCLR


def network(width):
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=(width, 4, 4, 4, 8, 4))


def test_the_head_follows_from_the_seed_whatever_was_drawn_before_and_draws_nothing_from_it():
    heads = []
    for width in (4, 8):
        torch.manual_seed(5)
        drawn = network(width)
        state = torch.get_rng_state()
        heads.append(SimCLR().model(drawn).head.state_dict())
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    torch.manual_seed(6)
    assert not torch.equal(
        next(iter(SimCLR().model(network(4)).head.state_dict().values())), next(iter(heads[0].values()))
    )
