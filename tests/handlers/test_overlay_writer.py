from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from torch import nn

from semicl_monai.handlers import OverlayWriter
from semicl_monai.handlers.overlay_writer import fullest_slice
from semicl_monai.handlers.overlay_writer import overlay as draw


def case(name, classes=2):
    """A ramp with a box of truth, most of it in slice 3 of the last axis."""
    image = torch.arange(10.0 * 9 * 6).view(1, 10, 9, 6)
    label = torch.zeros_like(image)
    label[0, 2:5, 2:5, 2:5] = 1
    label[0, 5:8, 2:7, 3] = classes
    return {"image": image, "label": label, "case": name}


def overlay(sample, name, axis):
    return draw(fullest_slice(sample, axis), name)


def evaluate(folder, names, **options):
    records = [{k: MetaTensor(v) if k != "case" else v for k, v in case(name).items()} for name in names]
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(records), batch_size=1),
        network=nn.Threshold(200, 0),
        val_handlers=[OverlayWriter(folder / "new" / "folder", **options)],
    ).run()
    return sorted(path.name for path in (folder / "new" / "folder").iterdir())


def colours(figure):
    """The shares of the picture that are green and red."""
    file = BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    red, green, blue = np.moveaxis(imread(file)[..., :3], -1, 0)
    return ((green > red + 0.2) & (green > blue + 0.2)).mean(), ((red > green + 0.4) & (red > blue + 0.4)).mean()


def test_the_first_cases_get_a_picture_each(tmp_path):
    assert evaluate(tmp_path, "abcdef", num_cases=2) == ["a.png", "b.png"]
    picture = imread(tmp_path / "new" / "folder" / "a.png")
    assert picture.shape[:2] == (528, 960)
    assert picture.std() > 0.05


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slice_with_the_most_truth_is_shown(axis):
    sample = case("a")
    sample["pred"] = sample["label"]
    figure = overlay(sample, "a", axis)
    index = int((sample["label"][0] > 0).sum(tuple({0, 1, 2} - {axis})).argmax())
    assert figure.get_suptitle() == f"a, slice {index} of axis {axis}"
    shown = figure.axes[0].images[0].get_array()
    assert np.array_equal(shown, sample["image"][0].select(axis, index).numpy().T)


def test_an_image_stored_along_other_axes_is_cut_along_the_same_one():
    sample = case("a")
    posterior_inferior_right = torch.tensor([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    stored = {
        key: MetaTensor(sample[key].permute(0, 2, 3, 1).flip(1, 2), affine=posterior_inferior_right)
        for key in ("image", "label")
    }
    figure = overlay({**stored, "pred": stored["label"]}, "a", 2)
    assert figure.get_suptitle() == "a, slice 2 of axis 1"  # of 6, counted from above: the third from below


def test_the_slice_of_the_example_is_the_third():
    sample = case("a")
    assert overlay({**sample, "pred": sample["label"]}, "a", 2).get_suptitle() == "a, slice 3 of axis 2"


@pytest.mark.parametrize("classes", [1, 2])
def test_truth_is_outlined_in_green_and_prediction_in_red(classes):
    sample = case("a", classes)
    legend = colours(
        overlay({**sample, "pred": torch.zeros_like(sample["label"]), "label": sample["label"] * 0}, "a", 2)
    )
    truth = colours(overlay({**sample, "pred": torch.zeros_like(sample["label"])}, "a", 2))
    assert truth[0] > legend[0]
    assert truth[1] == pytest.approx(legend[1], abs=1e-5)
    both = colours(overlay({**sample, "pred": sample["label"].roll(2, 1)}, "a", 2))
    assert both[1] > legend[1] + 1e-4


def test_it_builds_from_a_config(tmp_path):
    config = {"handler": {"_target_": "semicl_monai.handlers.OverlayWriter", "output_dir": str(tmp_path), "axis": 1}}
    assert ConfigParser(config).get_parsed_content("handler").axis == 1
