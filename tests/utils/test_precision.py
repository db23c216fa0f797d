from __future__ import annotations

import pytest
import torch

from semicl_monai.utils import at_least_float32, multiplies_bfloat16, precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_less_than_float32_becomes_float32(dtype):
    tensor = torch.tensor([0.0, 1.0, 1.0]).to(dtype)
    result = at_least_float32(tensor)
    assert result.dtype == torch.float32
    assert result.tolist() == [0, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float32_and_float64_stay_the_tensor_itself(dtype):
    tensor = torch.ones(3, dtype=dtype)
    assert at_least_float32(tensor) is tensor


def test_a_gradient_goes_back_in_the_type_of_the_tensor():
    tensor = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    at_least_float32(tensor).square().sum().backward()
    assert tensor.grad.dtype == torch.bfloat16
    assert tensor.grad.tolist() == [2, 2, 2]


@pytest.fixture
def cpu(monkeypatch):
    """A function that lets the CPU have what it is given: capability, name, and whether bfloat16 and tile units."""

    def have(capability, bf16, tiles, name="AMD EPYC 9354"):
        monkeypatch.setattr(precision, "processor_name", lambda: name)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)

    return have


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
@pytest.mark.parametrize(
    ("capability", "bf16", "tiles", "wanted"),
    [
        ("AVX512", True, False, True),
        ("AVX512", False, True, True),
        ("AVX512", True, True, True),
        ("AVX512", False, False, False),
        ("AVX2", True, True, False),  # what the CPU has, but torch was told or built not to use
        ("DEFAULT", False, False, False),
    ],
)
def test_a_cpu_multiplies_bfloat16_when_torch_uses_its_instructions_for_it(
    cpu, device, capability, bf16, tiles, wanted
):
    cpu(capability, bf16, tiles)
    assert multiplies_bfloat16(device) is wanted


@pytest.mark.parametrize("tiles", [True, False])
def test_an_intel_cpu_multiplies_bfloat16_by_its_tiles_only(cpu, tiles):
    cpu("AVX512", True, tiles, "Intel(R) Xeon(R) Processor")
    assert multiplies_bfloat16("cpu") is tiles


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda"), "meta"])
def test_another_device_is_no_such_cpu(cpu, device):
    cpu("AVX512", True, True)
    assert multiplies_bfloat16(device) is False


def test_it_can_be_asked_of_the_cpu_at_hand():
    assert multiplies_bfloat16("cpu") in (True, False)
