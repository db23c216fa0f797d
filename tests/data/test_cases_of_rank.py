from __future__ import annotations

import pytest
from monai.bundle import ConfigParser
from monai.data import Dataset

from semicl_monai.data import CasesOfRank
from semicl_monai.data import cases_of_rank as module
from semicl_monai.utils import InputError


@pytest.fixture
def processes(monkeypatch):
    def set_up(rank, size):
        monkeypatch.setattr(module, "rank_and_size", lambda: (rank, size))

    return set_up


@pytest.mark.parametrize(("rank", "cases"), [(0, [0, 3, 6]), (1, [1, 4]), (2, [2, 5])])
def test_the_cases_are_dealt_out_in_turn_and_none_twice(processes, rank, cases):
    processes(rank, 3)
    assert list(CasesOfRank(Dataset(list(range(7))))) == cases


@pytest.mark.parametrize(("rank", "cases"), [(0, [0]), (1, [1]), (2, [0])])
def test_of_fewer_cases_than_processes_some_are_evaluated_twice(processes, rank, cases):
    processes(rank, 3)
    assert list(CasesOfRank(Dataset([0, 1]))) == cases


def test_or_they_are_refused(processes):
    processes(0, 3)
    with pytest.raises(InputError, match="each of 3 processes needs a case of its own, got 2; lower --nproc"):
        CasesOfRank(Dataset([0, 1]), repeated=False)


def test_a_stage_without_validation_has_no_case_to_deal_out(processes):
    processes(0, 2)
    assert list(CasesOfRank(Dataset([]))) == []


def test_it_builds_from_a_config(processes):
    processes(1, 2)
    config = {"sampler": {"_target_": "semicl_monai.data.CasesOfRank", "dataset": Dataset([0, 1])}}
    assert list(ConfigParser(config).get_parsed_content("sampler")) == [1]
