from __future__ import annotations

import torch

from semicl_monai.losses.unit_length import unit_length


def test_its_gradient_is_right():
    vectors = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(unit_length, (vectors,))


def test_a_zero_vector_stays_zero_with_a_zero_gradient():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    units = unit_length(vectors)
    units.sum().backward()
    torch.testing.assert_close(units.detach(), torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    assert vectors.grad[0].tolist() == [0.0, 0.0]
