from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from matplotlib.image import imread
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from torch import nn

from semicl_monai.handlers import CaseMetrics, OverlayWriter
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


@pytest.mark.parametrize(("shape", "axis", "used"), [((9, 1, 8), 2, 1), ((1, 9, 8), 1, 0), ((9, 8, 1), 0, 2)])
def test_a_volume_of_one_slice_is_drawn_across_the_axis_that_shows_it(shape, axis, used):
    label = torch.zeros(1, *shape)
    label[0].select(used, 0)[3:6, 2:5] = 1
    figure = overlay({"image": torch.rand(1, *shape), "label": label, "pred": label}, "a", axis)
    assert figure.get_suptitle() == f"a, slice 0 of axis {used}"
    assert figure.axes[0].images[0].get_array().shape == tuple(size for size in shape if size > 1)[::-1]


def test_of_two_axes_the_one_with_the_larger_picture_is_taken():
    sample = {key: torch.ones(1, 20, 2, 1) for key in ("image", "label", "pred")}
    assert fullest_slice(sample, 1).axis == 2
    sample = {key: torch.ones(1, 2, 9, 1) for key in ("image", "label", "pred")}
    assert fullest_slice(sample, 0).axis == 2


def engine_with(folder, records, order=("pictures", "figures")):
    """Run an evaluation of records whose handlers are attached in an order, and tell what there is at each end."""
    found = []
    handlers = {"pictures": OverlayWriter(folder), "figures": CaseMetrics(folder, ["one"])}
    engine = Engine(
        lambda _, batch: [{key: value for key, value in record.items() if key != "case"} for record in batch]
    )
    for name in order:
        handlers[name].attach(engine)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: found.extend(sorted(file.name for file in folder.glob("*")))
    )
    engine.run([[record] for record in records])
    return found


def line(name):
    """A volume that is a line, which no axis shows."""
    return {key: torch.ones(1, 9, 1, 1) for key in ("image", "label", "pred")} | {"case": name}


def pictured(name):
    sample = case(name)
    return sample | {"pred": sample["label"].clamp(max=1), "label": sample["label"].clamp(max=1)}


@pytest.mark.parametrize("order", [("pictures", "figures"), ("figures", "pictures")])
def test_the_figures_are_on_disk_before_the_first_picture(tmp_path, order):
    assert engine_with(tmp_path, [pictured("a")], order) == ["cases.csv", "summary.json"]
    assert (tmp_path / "a.png").is_file()


def test_a_picture_that_cannot_be_drawn_is_a_warning(tmp_path, caplog):
    (tmp_path / "b.png").mkdir()  # a picture that cannot be written
    engine_with(tmp_path, [line("a"), pictured("b"), pictured("c")])
    assert (tmp_path / "c.png").is_file()
    assert len((tmp_path / "cases.csv").read_text().splitlines()) == 4
    warned = [record.getMessage() for record in caplog.records if "overlay_writer" in record.name]
    assert warned[0] == (
        "case a: its picture cannot be drawn: ValueError: "
        "a slice must have at least 2 x 2 voxels, got a volume of (9, 1, 1)"
    )
    assert warned[1].startswith("case b: its picture cannot be drawn: IsADirectoryError: ")


def test_no_volume_is_kept():
    sample = pictured("a")
    kept = fullest_slice(sample, 2)
    assert all(getattr(kept, key).base is None for key in ("image", "label", "pred"))


def test_voxels_that_are_not_annotated_are_shaded():
    sample = case("a")
    sample["pred"] = sample["label"].clone()
    plain = draw(fullest_slice(sample, 2), "a")
    sample["label"][:, 6:] = -1
    shaded = draw(fullest_slice(sample, 2), "a")
    texts = [[text.get_text() for text in figure.axes[1].get_legend().get_texts()] for figure in (plain, shaded)]
    assert texts == [["truth", "prediction"], ["truth", "prediction", "not annotated"]]
    (shade,) = shaded.axes[1].get_images()[1:]
    assert not shade.get_array().mask[:, 6:].any()
    assert shade.get_array().mask[:, :6].all()
