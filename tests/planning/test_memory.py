from __future__ import annotations

import numpy as np
import pytest
from monai.networks.nets import DynUNet

from semicl_monai.apps import benchmark_memory as module
from semicl_monai.planning import GIB, filters_of, topology_of, training_memory, without_first_level
from semicl_monai.planning.memory import _parameters


@pytest.mark.parametrize(("patch", "spacing"), [((40, 56, 40), (1, 1, 1)), ((128, 128, 10), (1.5, 1.5, 10))])
def test_parameters_are_those_of_the_network_but_for_the_small_ones(patch, spacing):
    topology = topology_of(patch, spacing)
    filters = filters_of(topology)
    network = DynUNet(3, 1, 3, topology.kernels, topology.strides, topology.strides[1:], filters)
    assert _parameters(topology, np.array(filters)) == pytest.approx(
        sum(p.numel() for p in network.parameters()), rel=0.01
    )


def test_more_voxels_patches_channels_or_outputs_take_more_memory():
    topology = topology_of((64, 64, 64), (1, 1, 1))
    few = training_memory((64, 64, 64), topology, filters_of(topology), 2, 4)
    assert few > 0.8 * GIB
    assert training_memory((128, 64, 64), topology, filters_of(topology), 2, 4) > few
    assert training_memory((64, 64, 64), topology, filters_of(topology), 3, 4) > few
    assert training_memory((64, 64, 64), topology, [2 * number for number in filters_of(topology)], 2, 4) > few
    assert training_memory((64, 64, 64), topology, filters_of(topology), 2, 5) > few


def test_the_benchmark_measures_beside_what_is_predicted(monkeypatch, capsys):
    monkeypatch.setattr(module, "PLANS", (((40, 56, 40), (1.0, 1.0, 1.0), 4),))
    module.benchmark_memory()
    words = capsys.readouterr().out.split()
    measured, predicted = float(words[8]), float(words[11])
    assert words[:7] == ["40", "x", "56", "x", "40,", "4", "outputs"]
    assert 0.5 < measured < predicted < 1.5 * measured


def test_outputs_take_as_much_without_a_level_of_the_full_resolution_and_maps_less():
    full = topology_of((160, 160), (1.0, 1.0))
    strided = without_first_level(full)
    few, many = ([training_memory((160, 160), one, filters_of(one), 8, n) for one in (full, strided)] for n in (2, 5))
    assert many[0] - few[0] == pytest.approx(many[1] - few[1])
    assert few[1] < few[0]
