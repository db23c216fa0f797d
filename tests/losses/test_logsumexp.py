from __future__ import annotations

import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from semicl_monai.losses import logsumexp, logsumexp_over_keys, sum_of_logsumexp_over_keys


def equation(anchors: torch.Tensor, keys: torch.Tensor, anchor_ids: torch.Tensor, key_ids: torch.Tensor) -> list[float]:
    values = []
    for anchor, own in zip(anchors.tolist(), anchor_ids.tolist(), strict=True):
        total = 0.0
        for key, other in zip(keys.tolist(), key_ids.tolist(), strict=True):
            if own != other:
                total += math.exp(sum(a * b for a, b in zip(anchor, key, strict=True)))
        values.append(math.log(total))
    return values


def inputs(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    anchors = torch.randn(5, 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    keys = torch.randn(7, 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return anchors, keys, torch.tensor([0, 1, 1, 2, 9]), torch.tensor([0, 0, 1, 2, 1, 2, 2])


@pytest.fixture(params=[(2**21, 40), (14, 40), (1, 40), (14, 0)])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of all rows, of two rows and of one row, and of two rows that are shifted by their maximum."""
    elements, safe = request.param
    monkeypatch.setattr(logsumexp, "CPU_TILE_ELEMENTS", elements)
    monkeypatch.setattr(logsumexp, "MIN_TILE_ROWS", 1)
    monkeypatch.setattr(logsumexp, "SAFE_EXPONENT", safe)


def weighted_sum(
    anchors: torch.Tensor, keys: torch.Tensor, anchor_ids: torch.Tensor, key_ids: torch.Tensor | None
) -> torch.Tensor:
    weights = torch.linspace(0.5, -1, len(anchors), dtype=anchors.dtype)
    return sum_of_logsumexp_over_keys(anchors, keys, anchor_ids, key_ids, weights)


@pytest.mark.usefixtures("tiles")
def test_it_is_the_equation_for_tiles_of_any_size():
    result = logsumexp_over_keys(*inputs())
    torch.testing.assert_close(result, torch.tensor(equation(*inputs()), dtype=torch.float64))


@pytest.mark.usefixtures("tiles")
def test_its_gradient_is_right_for_tiles_of_any_size():
    assert torch.autograd.gradcheck(logsumexp_over_keys, inputs())


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("needs_gradient", [True, False])
def test_the_weighted_sum_is_the_equation(needs_gradient: bool):
    weights = torch.linspace(0.5, -1, 5, dtype=torch.float64)
    wanted = sum(w * value for w, value in zip(weights.tolist(), equation(*inputs()), strict=True))
    with torch.set_grad_enabled(needs_gradient):
        total = sum_of_logsumexp_over_keys(*inputs(), weights=weights)
    assert total.item() == pytest.approx(wanted)


@pytest.mark.usefixtures("tiles")
def test_the_gradient_of_the_weighted_sum_is_right():
    assert torch.autograd.gradcheck(weighted_sum, inputs())


@pytest.mark.usefixtures("tiles")
def test_a_weighted_sum_without_ids_of_the_keys_leaves_out_the_own_position():
    anchors, keys, *_ = inputs()
    positions = torch.tensor([6, 0, 3, 3, 1])
    assert torch.autograd.gradcheck(lambda *pair: weighted_sum(*pair, positions, None), (anchors, keys))
    assert weighted_sum(anchors, keys, positions, None) == weighted_sum(anchors, keys, positions, torch.arange(7))


def test_the_weighted_sum_multiplies_matrices_three_times_and_the_values_four_times():
    counts = []
    for function in (lambda *given: logsumexp_over_keys(*given).sum(), weighted_sum):
        anchors, keys, *ids = inputs()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            function(anchors, keys, *ids).backward()
        counts.append(
            sum(event.count for event in profiler.key_averages() if event.key in ("aten::mm", "aten::addmm_"))
        )
    assert counts == [4, 3]


def test_the_gradient_of_the_weighted_sum_grows_with_the_gradient_it_gets():
    anchors, keys, *ids = inputs()
    total = weighted_sum(anchors, keys, *ids)
    first = torch.autograd.grad(total, keys, retain_graph=True)[0]
    second = torch.autograd.grad(3 * total, keys)[0]
    torch.testing.assert_close(second, 3 * first)


@pytest.mark.usefixtures("tiles")
def test_an_anchor_without_a_key_has_no_gradient_and_spoils_no_other():
    anchors, keys, _, _ = inputs()
    result = logsumexp_over_keys(anchors, keys, torch.tensor([3, 3, 4, 4, 4]), torch.full((7,), 3))
    result[2:].sum().backward(retain_graph=True)
    assert result[:2].tolist() == [-math.inf, -math.inf]
    assert anchors.grad[:2].count_nonzero() == 0
    result.sum().backward()
    assert anchors.grad.isfinite().all()
    assert keys.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(0, 7), (5, 0)])
def test_without_anchors_or_keys_backward_works(shape: tuple[int, int]):
    anchors, keys = (torch.ones(number, 3, requires_grad=True) for number in shape)
    ids = [torch.zeros(number, dtype=torch.long) for number in shape]
    logsumexp_over_keys(anchors, keys, *ids).sum().backward()
    assert anchors.grad.count_nonzero() == keys.grad.count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    anchors, keys, *ids = inputs(dtype)
    result = logsumexp_over_keys(anchors, keys, *ids)
    torch.testing.assert_close(result, torch.tensor(equation(anchors, keys, *ids)))
    result.sum().backward()
    assert anchors.grad.dtype == keys.grad.dtype == dtype


def test_autocast_changes_nothing():
    gradients = []
    for enabled in (False, True):
        anchors, keys, *ids = inputs(torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            result = logsumexp_over_keys(anchors, keys, *ids)
            result.sum().backward()
        gradients.append((result.detach(), anchors.grad, keys.grad))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_large_and_small_similarities_neither_overflow_nor_vanish():
    keys = torch.tensor([[500.0], [-500.0]])
    ids = torch.tensor([0, 1])
    torch.testing.assert_close(logsumexp_over_keys(torch.ones(2, 1), keys, ids, ids), torch.tensor([-500.0, 500.0]))


def test_without_ids_of_the_keys_an_anchor_leaves_out_the_key_at_its_own_position_only(monkeypatch):
    monkeypatch.setattr(logsumexp, "MIN_TILE_ROWS", 2)
    keys = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positions = torch.tensor([5, 0, 3])
    result = logsumexp_over_keys(keys[positions], keys, positions)
    wanted = [math.log(sum(math.exp(float(keys[i] @ keys[k])) for k in range(7) if k != i)) for i in positions.tolist()]
    assert result.tolist() == pytest.approx(wanted)
