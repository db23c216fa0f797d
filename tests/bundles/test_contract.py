"""What the runner, the model zoo and MONAI Label ask of the files of every bundle."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.handlers import from_engine
from monai.transforms import Compose, LoadImaged, SaveImaged

BUNDLES = sorted(task.parent for task in (Path(__file__).parents[2] / "bundles").glob("*/task.json"))


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request):
    return request.param


@pytest.fixture
def parser(config, size, kind_options):
    """Read a config file as a client does, with the options of a small network and of the bundle's kind of data."""

    def read(name, **options):
        parser = ConfigParser()
        parser.read_config(str(config(name)))
        small = {key: value for key, value in size("inference").items() if key.startswith("network_def")}
        for key, value in {**small, **kind_options, **options}.items():
            parser[key] = value
        return parser

    return read


@pytest.mark.parametrize("name", ["pretrain", "train", "evaluate", "inference"])
def test_a_stage_has_every_property_monai_asks_for(run_stage, workflow, images_dir, name):
    if name in ("train", "evaluate", "inference"):
        run_stage("train", pretrained="none", validation="none")
    options = {"train": {"pretrained": "none"}, "inference": {"dataset_dir": str(images_dir)}}
    built = workflow(name, **options.get(name, {}))
    built.initialize()
    assert built.check_properties() == []


def test_no_target_has_the_name_of_a_module_which_python_from_3_12_on_would_take_in_its_place(bundle):
    configs = "".join(file.read_text() for file in (bundle / "configs").glob("*.json"))
    targets = set(re.findall(r'"_target_": "(semicl_monai[\w.]+)"', configs))
    assert len(targets) > 30
    assert [target for target in sorted(targets) if is_module(target)] == []


def is_module(target):
    try:
        return find_spec(target) is not None
    except ModuleNotFoundError:  # something inside a class
        return False


@pytest.mark.parametrize(("options", "amp"), [({}, True), ({"bfloat16": True}, False), ({"device": "cpu"}, False)])
def test_a_gpu_computes_in_float16_unless_bfloat16_is_asked_for(parser, options, amp):
    options = {"device": "cuda", "bfloat16": False, **options}
    assert parser("train", **options).get_parsed_content("use_amp") is amp


def test_training_and_inference_build_the_same_network(config):
    stages = ("pretrain", "train", "evaluate", "inference")
    networks = [json.loads(config(name).read_text())["network_def"] for name in stages]
    for network in networks:  # the heads of deep supervision are of training alone
        network.pop("deep_supervision", None), network.pop("deep_supr_num", None)
    assert all(network == networks[0] for network in networks)


def test_training_and_inference_scale_intensities_and_slide_the_window_alike(config):
    train, inference = (json.loads(config(name).read_text()) for name in ("train", "inference"))
    for transforms in (train["deterministic_transforms"], inference["preprocessing"]["transforms"]):
        assert [t for t in transforms if "ScaleIntensity" in str(t) or "scaling" in str(t)] == ["%scaling"]
    assert train["scaling"] == inference["scaling"]
    assert "ScaleIntensity" in train["scaling"]["_target_"]
    assert train["window_inferer"] == inference["window_inferer"]
    assert train["validate"]["inferer"]["inferer"] == "@window_inferer"
    around = inference.get("foreground_inferer", inference["mirrored_inferer"])  # around foreground only, in 3-D
    assert around["inferer"] == "@window_inferer"
    assert inference["mirrored_inferer"]["inferer"] in ("@window_inferer", "@foreground_inferer")


def test_every_stage_makes_the_same_of_an_image(parser, size, records):
    ids = {
        "pretrain": ["deterministic_transforms"],
        "train": ["deterministic_transforms", "validate::preprocessing"],
        "evaluate": ["preprocessing"],
        "inference": ["preprocessing"],
    }
    made = []
    for name, of_stage in ids.items():
        roi_size = [8] * len(size(name)["roi_size"])
        # smaller than any volume, and no border: nothing is padded
        read = parser(name, roi_size=roi_size, border=0, dataset_dir="nowhere")
        for key in of_stage:
            transforms = read.get_parsed_content(key)
            prepare = Compose(transforms) if isinstance(transforms, list) else transforms
            made.append(torch.as_tensor(prepare(records[-1])["image"]))
    assert 0 <= made[0].min() < made[0].max() <= 1
    assert all(torch.equal(image, made[0]) for image in made)


def test_a_client_that_brings_its_own_lists_needs_no_data_set(parser, size, records, tmp_path):
    read = parser("train", roi_size=size("train")["roi_size"], bfloat16=False)
    read["bundle_root"], read["device"], read["pretrained"] = str(tmp_path), "$torch.device('cpu')", "none"
    read["train::dataset::data"], read["validate::dataset::data"] = records[:1], records[1:2]
    read["train::trainer::max_epochs"], read["dataset_dir"] = 1, "nowhere"
    read["iterations_per_epoch"] = 1
    read.get_parsed_content("train::trainer").run()
    assert (tmp_path / "models/model.pt").is_file()


def test_a_client_without_a_data_set_learns_by_labels_whatever_made_the_weights(
    run_stage, parser, size, records, tmp_path
):
    run_stage("pretrain", method="self_training")
    read = parser("train", output_dir=str(tmp_path), dataset_dir="nowhere", device="$torch.device('cpu')")
    read["roi_size"], read["bfloat16"] = size("train")["roi_size"], False
    read["train::dataset::data"], read["validate::dataset::data"] = records[:1], records[1:2]
    read["train::trainer::max_epochs"], read["iterations_per_epoch"] = 1, 1
    read.get_parsed_content("train::trainer").run()
    assert read.get_parsed_content("fine_tuning") == "random"
    assert (tmp_path / "models/model.pt").is_file()


def test_monai_label_segments_by_the_ids_it_reads_alone(
    run_stage, parser, size, weights, images_dir, tmp_path, monkeypatch
):
    image = min(images_dir.glob("*.nii.gz"))
    # the network laid out as it is there: an untrained one has ties, which rounding decides
    run_stage("inference", dataset_dir=str(image), weights=str(weights), network="@network_def")
    (file,) = (tmp_path / "eval/predictions").iterdir()
    expected = np.asarray(nib.load(file).dataobj)

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    read = parser("inference", **size("inference"), dataset_dir="nowhere", bundle_root=str(tmp_path))
    mask = segment_as_monai_label(read, image, weights)
    assert len(np.unique(expected)) > 2
    assert np.array_equal(mask[0], expected)
    np.testing.assert_allclose(mask.affine, nib.load(image).affine, atol=1e-4)
    assert list(Path.cwd().iterdir()) == []


def segment_as_monai_label(parser, image, weights):
    """Do what its ``BundleInferTask`` does with a config, but for the last step: it writes the mask itself."""
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    parser["device"] = "cpu"  # a string
    # image_path is its addition to what the client has sent; the transforms see all of it
    sample = {"model": "a_model", "image": str(image), "device": "cpu", "image_path": str(image)}
    for transform in parser.get_parsed_content("preprocessing").transforms:
        if isinstance(transform, LoadImaged):
            transform._loader.image_only = False
        sample = transform(sample)
    with torch.no_grad():
        sample["pred"] = parser.get_parsed_content("inferer")(sample["image"][None], network)[0]
    for transform in parser.get_parsed_content("postprocessing").transforms:
        sample = sample if isinstance(transform, SaveImaged) else transform(sample)
    return sample["pred"]


def test_training_has_one_run_list_only(config):
    lists = [key for key, value in json.loads(config("train").read_text()).items() if isinstance(value, list)]
    assert set(lists) & {"run", "pretrain", "evaluate"} == {"run"}


@pytest.mark.parametrize("name", ["pretrain", "train"])
def test_the_loss_of_a_step_is_where_the_tracking_of_the_runner_looks_for_it(run_stage, name):
    options = {"pretrain": {"method": "global"}, "train": {"pretrained": "none", "validation": "none"}}
    built = run_stage(name, **options[name])
    output = built.parser.get_parsed_content("train::trainer").state.output
    assert isinstance(from_engine(["loss"], first=True)(output), float)


@pytest.mark.parametrize("bundle", BUNDLES[:1], indirect=True)
def test_the_runner_tracks_a_stage_with_mlflow(workflow, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is in the extra 'tracking'")
    built = workflow("train", pretrained="none", validation="none", tracking="mlflow")
    built.initialize()
    built.run()
    built.finalize()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlruns.db")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "train_loss" in run.data.metrics
