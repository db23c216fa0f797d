"""Evaluate the average of the probabilities of several networks.

python average.py CONFIG OPTIONS WEIGHTS...: CONFIG is the evaluate.json of a bundle. OPTIONS is a JSON object with
values for it, such as dataset_dir, output_dir and part. Write CHECKPOINT:PREFIX for a network inside of a checkpoint,
such as checkpoint_56.pt:snapshots.copies.0. for the first snapshot of a teacher.
"""

import json
import sys

import torch
from monai.bundle import ConfigParser

from semicl_monai.networks import channels_last, load_network

config, options, *weights = sys.argv[1:]


class Average(torch.nn.Module):
    def __init__(self, networks):
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, images):
        return torch.stack([network(images).softmax(1) for network in self.networks]).mean(0).log()


def parsed(**further):
    parser = ConfigParser()
    parser.read_config(config)
    parser.update({"num_overlays": 0, **json.loads(options), **further})
    return parser


def loaded(name):
    file, _, prefix = name.partition(":")
    if prefix:
        state = torch.load(file, weights_only=True)["network"]
        file = f"{file}.{prefix}pt"
        torch.save({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}, file)
    return channels_last(load_network(parsed().get_parsed_content("network_def"), file))


networks = [loaded(name) for name in weights]
evaluator = parsed(network=Average(networks), weights=weights[0].partition(":")[0]).get_parsed_content("evaluator")
evaluator.run()
print({name: round(float(value), 4) for name, value in evaluator.state.metrics.items() if name.startswith("dice")})
