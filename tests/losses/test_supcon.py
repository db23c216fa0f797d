from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from torch.utils._python_dispatch import TorchDispatchMode

from semicl_monai.losses import LOSSES, SupConLoss, logsumexp
from semicl_monai.samplers import BlockSampler
from semicl_monai.utils import InputError

OPTIONS = [
    {"temperature": temperature, "denominator": denominator, "background_index": background}
    for temperature, denominator, background in [
        (0.1, "all", None),
        (0.5, "all", 0),
        (0.1, "negatives", None),
        (0.5, "negatives", 0),
    ]
]


def equation(
    embeddings: list[list[float]], labels: list[int], temperature: float, denominator: str, background_index: int | None
) -> list[float | None]:
    """Khosla et al., eq. 2, of each embedding of one group; ``None`` where no anchor takes part."""
    unit = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in embeddings]
    pixels = [i for i, label in enumerate(labels) if label != -1]
    losses: list[float | None] = [None] * len(labels)
    for i in pixels:
        s = {k: sum(a * b for a, b in zip(unit[i], unit[k], strict=True)) / temperature for k in pixels if k != i}
        positives = [k for k in s if labels[k] == labels[i]]
        others = [k for k in s if denominator == "all" or labels[k] != labels[i]]
        if labels[i] != background_index and positives and others:
            log_total = math.log(sum(math.exp(s[k]) for k in others))
            losses[i] = -sum(s[p] - log_total for p in positives) / len(positives)
    return losses


def dense(input: torch.Tensor, target: torch.Tensor, temperature: float, background_index: int | None) -> torch.Tensor:
    """The mean of eq. 2 over one group, with matrices of N x N."""
    unit = input / input.norm(dim=1, keepdim=True)
    itself = torch.eye(len(target), dtype=torch.bool)
    log_softmax = (unit @ unit.T / temperature).masked_fill(itself, -math.inf).log_softmax(dim=1)
    positive = (target[:, None] == target) & ~itself
    mean = log_softmax.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1)
    return -mean[positive.any(dim=1) & (target != background_index)].mean()


def groups(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Three groups of nine: with ignored pixels and a class of one pixel, with another class, and without anchors."""
    input = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    target = torch.tensor([[0, 1, 2, -1, 1, 0, 2, 1, 3], [5, 0, 0, 5, 5, 0, 5, -1, -1], [0] + [-1] * 8])
    return input.requires_grad_(), target


def gradient(loss: Callable, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    input = input.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(input, target), input)[0]


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logsumexp, "CPU_TILE_ELEMENTS", 10)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("options", OPTIONS)
def test_it_is_the_equation_in_every_reduction(options: dict):
    input, target = groups()
    wanted = [equation(*group, **options) for group in zip(input.tolist(), target.tolist(), strict=True)]
    taking_part = [[loss for loss in group if loss is not None] for group in wanted]
    means = [sum(group) / len(group) for group in taking_part if group]

    def ours(reduction: str) -> torch.Tensor:
        return SupConLoss(**options, reduction=reduction)(input, target)

    flat = torch.tensor([[loss or 0.0 for loss in group] for group in wanted], dtype=torch.float64)
    torch.testing.assert_close(ours("none"), flat)
    assert ours("sum").item() == pytest.approx(sum(map(sum, taking_part)))
    assert ours("mean").item() == pytest.approx(sum(means) / len(means))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", OPTIONS)
def test_its_gradient_is_right(options: dict, reduction: str):
    input, target = groups()
    assert torch.autograd.gradcheck(SupConLoss(**options, reduction=reduction), (input, target))


@pytest.mark.parametrize("background_index", [None, 0])
def test_value_and_gradient_are_those_of_the_dense_formula(background_index: int | None):
    generator = torch.Generator().manual_seed(0)
    input, target = torch.randn(1500, 32, generator=generator), torch.randint(0, 4, (1500,), generator=generator)
    exact = SupConLoss(background_index=background_index)

    def reference(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return dense(input.double(), target, 0.1, background_index)

    assert exact(input, target).item() == pytest.approx(reference(input, target).item(), rel=1e-5)
    wanted = gradient(reference, input, target)
    assert (gradient(exact, input, target) - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_no_tensor_is_larger_than_the_input_or_a_tile():
    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.elements = max(self.elements, result.numel())
            return result

    input = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with Largest() as largest:
        SupConLoss()(input, torch.arange(4000) % 3).backward()
    assert largest.elements <= max(input.numel(), logsumexp.CPU_TILE_ELEMENTS) < 4000**2


@pytest.mark.parametrize("options", OPTIONS)
def test_order_and_names_of_classes_and_groups_change_nothing(options: dict):
    input, target = groups()
    loss = SupConLoss(**options)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    renamed = torch.tensor([0, 70, 3, -5, 1, 40, -1])[target]
    torch.testing.assert_close(loss(input[:, order].flip(0), renamed[:, order].flip(0)), loss(input, target))


def test_ignored_embeddings_take_no_part_even_when_they_are_not_finite():
    input, target = groups()
    spoiled = input.detach().masked_fill((target == -1)[..., None], math.nan)
    torch.testing.assert_close(SupConLoss()(spoiled, target), SupConLoss()(input, target))
    assert gradient(SupConLoss(), spoiled, target)[target == -1].count_nonzero() == 0


def test_the_length_of_an_embedding_does_not_matter():
    input, target = groups()
    torch.testing.assert_close(SupConLoss()(7 * input, target), SupConLoss()(input, target))


def test_a_zero_embedding_has_a_zero_gradient():
    input, target = groups(torch.float16)
    input = input.detach().index_fill(1, torch.tensor([1]), 0)
    result = gradient(SupConLoss(), input, target)
    assert result.isfinite().all()
    assert result[:, 1].count_nonzero() == 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("target", "options"),
    [
        pytest.param([0, 0, 0, 0], {"background_index": 0}, id="no foreground"),
        pytest.param([0, 0, 1, 0], {"background_index": 0}, id="one anchor"),
        pytest.param([0, 1, 2, 3], {}, id="classes of one pixel"),
        pytest.param([-1, -1, -1, -1], {}, id="all ignored"),
        pytest.param([1, 1, 1, 1], {"denominator": "negatives"}, id="no negatives"),
        pytest.param([], {}, id="no pixels"),
    ],
)
def test_without_a_positive_it_is_zero_and_backward_works(target: list[int], options: dict, reduction: str):
    input = torch.randn(len(target), 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    result = SupConLoss(**options, reduction=reduction)(input, torch.tensor(target, dtype=torch.long))
    result.sum().backward()
    assert result.count_nonzero() == 0
    assert input.grad.count_nonzero() == 0


def test_all_of_one_class_is_the_equation():
    input, target = groups()[0][0], torch.ones(9, dtype=torch.long)
    wanted = equation(input.tolist(), target.tolist(), 0.1, "all", None)
    assert SupConLoss()(input, target).item() == pytest.approx(sum(wanted) / len(wanted))


@pytest.mark.parametrize("denominator", ["all", "negatives"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_lowest_temperature_in_half_precision_is_finite(dtype: torch.dtype, denominator: str):
    input, target = groups(dtype)
    result = SupConLoss(temperature=0.01, denominator=denominator)(input, target)
    result.backward()
    wanted = SupConLoss(temperature=0.01, denominator=denominator)(input.double(), target)
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert input.grad.isfinite().all()


def test_autocast_changes_nothing():
    input, target = groups(torch.float32)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            results.append((SupConLoss()(input, target), gradient(SupConLoss(), input, target)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_embeddings_in_bfloat16_from_autocast_have_finite_gradients():
    input, target = groups(torch.float32)
    layer = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = SupConLoss(temperature=0.01)(layer(input), target)
    result.backward()
    assert result.dtype == torch.float32
    assert layer.weight.grad.isfinite().all()
    assert layer.weight.grad.count_nonzero() > 0


def test_targets_may_be_floating_and_carry_metadata():
    input, target = groups()
    result = SupConLoss()(MetaTensor(input), MetaTensor(target.float()))
    assert type(result) is torch.Tensor
    torch.testing.assert_close(result, SupConLoss()(input, target))


def test_one_group_needs_no_group_dimension():
    input, target = (tensor[0] for tensor in groups())
    assert SupConLoss()(input, target) == SupConLoss()(input[None], target[None])
    assert SupConLoss(reduction="none")(input, target).shape == (9,)


def test_blocks_weigh_the_same_however_many_anchors_they_have():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 4, 6, 6, generator=generator, dtype=torch.float64)
    labels = torch.zeros(2, 1, 6, 6)
    labels[:, :, :3, :3] = 1
    labels[:, :, 4, 4:] = 2
    corners = [
        (slice(None), slice(None), slice(*rows), slice(*columns)) for rows, columns in [((0, 4),) * 2, ((4, 6),) * 2]
    ]
    means = []
    for corner in corners:
        embeddings = maps[corner].movedim(1, -1).flatten(0, -2).tolist()
        losses = equation(embeddings, labels[corner].long().flatten().tolist(), 0.1, "all", 0)
        losses = [loss for loss in losses if loss is not None]
        means.append(sum(losses) / len(losses))
    ours = SupConLoss(background_index=0)(*BlockSampler(block_size=4)(maps, labels))
    assert ours.item() == pytest.approx(sum(means) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"temperature": math.nan}, "temperature must be positive, got nan"),
        ({"denominator": "positives"}, "denominator must be 'all' or 'negatives', got 'positives'"),
        ({"reduction": "median"}, "reduction must be 'mean', 'sum' or 'none', got 'median'"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        SupConLoss(**options)


@pytest.mark.parametrize(
    ("input", "target", "message"),
    [
        (torch.zeros(4), torch.zeros(4), r"input must be floating and of shape \(G, N, C\) or \(N, C\), got"),
        (torch.zeros(4, 2).long(), torch.zeros(4), r"got torch.int64 and \(4, 2\)"),
        (torch.zeros(4, 2), torch.zeros(3), r"target must be of shape \(4,\), got \(3,\)"),
        (torch.zeros(1, 4, 2), torch.zeros(4), r"target must be of shape \(1, 4\), got \(4,\)"),
    ],
)
def test_wrong_shapes_and_types_are_refused(input: torch.Tensor, target: torch.Tensor, message: str):
    with pytest.raises(ValueError, match=message):
        SupConLoss()(input, target)


def test_it_builds_from_a_config_and_by_name():
    parser = ConfigParser({"loss": {"_target_": "semicl_monai.losses.SupConLoss", "temperature": 0.2}})
    assert parser.get_parsed_content("loss").temperature == 0.2
    assert isinstance(LOSSES.build("supcon", {"supcon": {"background_index": 0}}), SupConLoss)


def test_an_unknown_loss_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown loss 'triplet'; known: supcon, prototypes, nt_xent"):
        LOSSES.build("triplet")
