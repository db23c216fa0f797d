from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    Flipd,
    Invertd,
    Orientationd,
    SaveImaged,
    ScaleIntensityd,
    SpatialPadd,
)
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from semicl_monai.transforms import TRANSFORMS, InvertArgmaxd, LoadCased, SafeSpacingd
from semicl_monai.utils import InputError

SIZE = (14, 17, 9)
AFFINES = {
    "diagonal": np.diag([1.0, 0.8, 1.7, 1.0]),
    "other orientation": nib.affines.from_matvec(np.array([[0, 0, -1.7], [-0.8, 0, 0], [0, 1.1, 0]]), [5, -4, 3]),
    "oblique": nib.affines.from_matvec(np.array([[-0.9, 0.2, 0.1], [0.2, 0.95, -0.1], [0.1, 0.1, 2.5]]), [-12, 7, 3]),
}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("softmax", [True, False])
def test_scores_that_are_not_finite_are_refused_with_the_case(value, softmax):
    flip = Compose([Flipd("image", spatial_axis=0)])
    scores = torch.rand(3, 4, 5, 6)
    scores[1, 2, 3, :2] = value
    sample = {**flip({"image": MetaTensor(torch.rand(1, 4, 5, 6))}), "pred": scores}
    invert = InvertArgmaxd("pred", transform=flip, softmax=softmax)
    with pytest.raises(InputError, match=r"^'pred' must hold finite class scores, got NaN or infinity in 2 of 360\.$"):
        invert(sample)
    with pytest.raises(InputError, match=r"^case heart_3: 'pred' must hold finite class scores"):
        invert({**sample, "case": "heart_3"})


def preprocessing(**spacing):
    return Compose(
        [
            LoadCased("image", num_classes=4),
            Orientationd("image", axcodes="RAS", labels=None),
            SafeSpacingd("image", **{"pixdim": (1.5, 1.5, 1.5), **spacing}),
            ScaleIntensityd("image"),
        ]
    )


def monai_postprocessing(transform, softmax=True):
    """What MONAI has for the purpose, on all classes at once."""
    return Compose(
        [
            Activationsd("pred", softmax=softmax),
            Invertd("pred", transform, "image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
        ]
    )


@pytest.fixture(params=list(AFFINES))
def affine(request):
    return AFFINES[request.param]


@pytest.fixture
def file(tmp_path, affine):
    voxels = np.random.default_rng(0).random(SIZE, dtype=np.float32)
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "a.nii.gz")
    return str(tmp_path / "a.nii.gz")


def predicted(transform, file, num_classes=4, **others):
    """A preprocessed sample, with random scores as the prediction."""
    sample = transform({"image": file, **others})
    generator = torch.Generator().manual_seed(1)
    scores = 3 * torch.randn(num_classes, *sample["image"].shape[1:], generator=generator)
    return sample | {"pred": MetaTensor(scores, affine=sample["image"].affine)}


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_label_map_is_that_of_monai_voxel_by_voxel(file, affine, softmax, dtype):
    transform = preprocessing(dtype=dtype)
    sample = predicted(transform, file)
    wanted = monai_postprocessing(transform, softmax)(sample)["pred"]
    pred = InvertArgmaxd("pred", transform, softmax=softmax)(sample)["pred"]
    assert (pred.shape, pred.dtype) == ((1, *SIZE), torch.uint8)
    assert torch.equal(pred.as_tensor(), wanted.as_tensor().byte())
    assert len(pred.unique()) == 4
    np.testing.assert_allclose(pred.affine, affine, atol=1e-6)


def test_it_is_so_for_padded_volumes_too(file):
    transform = Compose([*preprocessing().transforms, SpatialPadd("image", spatial_size=(30, 30, 30))])
    sample = predicted(transform, file)
    wanted = monai_postprocessing(transform)(sample)["pred"]
    assert torch.equal(InvertArgmaxd("pred", transform)(sample)["pred"].as_tensor(), wanted.as_tensor().byte())


def test_an_equal_preprocessing_of_another_thread_inverts_as_well(file):
    transform = Compose([*preprocessing().transforms, SpatialPadd("image", spatial_size=(30, 30, 30))])
    other = Compose([*preprocessing().transforms, SpatialPadd("image", spatial_size=(30, 30, 30))])
    sample = predicted(transform, file)
    wanted = InvertArgmaxd("pred", transform)(sample)["pred"]
    assert torch.equal(InvertArgmaxd("pred", other)(sample)["pred"].as_tensor(), wanted.as_tensor())


def test_what_is_saved_lies_where_the_image_lies(file, affine, tmp_path):
    transform = preprocessing()
    save = SaveImaged("pred", output_dir=tmp_path, output_postfix="seg", separate_folder=False, print_log=False)
    pred = save(InvertArgmaxd("pred", transform)(predicted(transform, file)))["pred"]
    saved = nib.load(tmp_path / "a_seg.nii.gz")
    np.testing.assert_allclose(saved.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(saved.dataobj), pred[0])


def test_the_rest_of_the_sample_is_left_alone(file):
    transform = preprocessing()
    sample = predicted(transform, file, image_path=file, case="a")
    image, scores = sample["image"].clone(), sample["pred"].clone()
    result = InvertArgmaxd("pred", transform, softmax=False)(sample)
    assert set(result) == {"image", "image_path", "case", "pred"}
    assert (result["image_path"], result["case"]) == (file, "a")
    assert torch.equal(result["image"], image)
    assert torch.equal(sample["pred"], scores)
    assert result["image"].applied_operations == sample["image"].applied_operations != []


@pytest.mark.parametrize("softmax", [True, False])
def test_scores_are_not_changed_where_there_is_nothing_to_invert(softmax):
    same = Compose([Orientationd("image", axcodes="RAS", labels=None)])
    sample = same({"image": MetaTensor(torch.rand(1, 4, 3, 2))}) | {"pred": torch.rand(3, 4, 3, 2)}
    scores = sample["pred"].clone()
    pred = InvertArgmaxd("pred", same, softmax=softmax)(sample)["pred"]
    assert torch.equal(pred.as_tensor(), scores.argmax(0, keepdim=True).byte())
    assert torch.equal(sample["pred"], scores)


def test_scores_without_metadata_are_inverted_too(file):
    transform = preprocessing()
    sample = predicted(transform, file)
    wanted = InvertArgmaxd("pred", transform)(sample)["pred"]
    result = InvertArgmaxd("pred", transform)(sample | {"pred": sample["pred"].as_tensor()})["pred"]
    assert torch.equal(result, wanted)
    assert torch.equal(result.affine, wanted.affine)


def test_the_image_can_be_inverted_after_it(file):
    transform = preprocessing()
    sample = InvertArgmaxd("pred", transform)(predicted(transform, file))
    assert Invertd("image", transform, nearest_interp=False)(sample)["image"].shape == (1, *SIZE)


def test_in_an_evaluator_it_gives_what_monai_gives(file):
    torch.manual_seed(0)
    network = nn.Conv3d(1, 3, 3, padding=1)

    def run(postprocessing):
        transform = preprocessing()
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset([{"image": file, "case": "a"}], transform), batch_size=1),
            network=network,
            postprocessing=postprocessing(transform),
        )
        evaluator.run()
        return evaluator.state.output[0]["pred"]

    pred, wanted = run(lambda transform: InvertArgmaxd("pred", transform)), run(monai_postprocessing)
    assert torch.equal(pred.as_tensor(), wanted.as_tensor().byte())
    assert torch.equal(pred.affine, wanted.affine)


def test_of_equal_scores_the_first_class_is_taken_as_argmax_does():
    flip = Compose([Flipd("image", spatial_axis=0)])
    sample = flip({"image": MetaTensor(torch.rand(1, 4, 3, 2))}) | {"pred": torch.zeros(3, 4, 3, 2)}
    sample["pred"][1:, 0] = 1
    pred = InvertArgmaxd("pred", flip)(sample)["pred"][0]
    assert pred[:3].eq(0).all()
    assert pred[3].eq(1).all()


def test_one_map_of_the_images_size_is_held_while_the_next_is_made():
    made, held = [], []

    class CountedFlipd(Flipd):
        def inverse(self, data):
            held.append(sum(not map_.expired() for map_ in made))
            result = super().inverse(data)
            made.append(StorageWeakRef(result["image"].untyped_storage()))
            return result

    flip = Compose([CountedFlipd("image", spatial_axis=0)])
    sample = flip({"image": MetaTensor(torch.rand(1, 4, 3, 2))}) | {"pred": torch.rand(6, 4, 3, 2)}
    InvertArgmaxd("pred", flip)(sample)
    assert held == [0, 1, 1, 1, 1, 1]


def test_several_predictions_are_inverted_each_by_its_image():
    flips = Compose([Flipd("image", spatial_axis=0), Flipd("other", spatial_axis=1)])
    sample = flips({key: MetaTensor(torch.rand(1, 4, 3, 2)) for key in ("image", "other")})
    scores = torch.rand(3, 4, 3, 2)
    invert = InvertArgmaxd(("a", "b", "c"), flips, ("image", "other", "image"), allow_missing_keys=True)
    result = invert(sample | {"a": scores, "b": scores})
    assert torch.equal(result["a"].as_tensor(), scores.argmax(0, keepdim=True).flip(1).byte())
    assert torch.equal(result["b"].as_tensor(), scores.argmax(0, keepdim=True).flip(2).byte())


def test_a_missing_key_is_refused_unless_allowed():
    with pytest.raises(KeyError, match="pred"):
        InvertArgmaxd("pred", Compose([]))({})
    assert InvertArgmaxd("pred", Compose([]), allow_missing_keys=True)({}) == {}


def test_up_to_255_classes_fit():
    flip = Compose([Flipd("image", spatial_axis=0)])
    sample = flip({"image": MetaTensor(torch.rand(1, 1, 1, 1))})
    scores = torch.arange(256.0).view(256, 1, 1, 1)
    assert InvertArgmaxd("pred", flip)(sample | {"pred": scores[:255]})["pred"].item() == 254
    with pytest.raises(InputError, match="'pred' must have at most 255 classes, got 256"):
        InvertArgmaxd("pred", flip)(sample | {"pred": scores})


def test_it_builds_from_a_config():
    config = {
        "preprocessing": {"_target_": "Compose", "transforms": []},
        "invert": {
            "_target_": "semicl_monai.transforms.InvertArgmaxd",
            "keys": "pred",
            "transform": "@preprocessing",
        },
    }
    parser = ConfigParser(config)
    assert parser.get_parsed_content("invert").transform is parser.get_parsed_content("preprocessing")
    assert isinstance(TRANSFORMS.build("invert_argmax", keys="pred", transform=Compose([])), InvertArgmaxd)


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2]])
@pytest.mark.parametrize("softmax", [True, False])
def test_regions_are_painted_one_after_the_other_where_their_inverted_probability_is_above_a_half(file, order, softmax):
    transform = preprocessing()
    sample = predicted(transform, file, num_classes=3)
    if not softmax:
        sample["pred"] = sample["pred"].sigmoid()
    inverted = Compose(
        [Activationsd("pred", sigmoid=softmax), Invertd("pred", transform, "image", nearest_interp=False)]
    )(sample)["pred"]
    wanted = np.zeros(SIZE, int)
    for number, region in zip(order, inverted.numpy(), strict=True):  # as in nnU-Net's LabelManager
        wanted[region > 0.5] = number
    pred = InvertArgmaxd("pred", transform, softmax=softmax, regions_class_order=order)(sample)["pred"]
    np.testing.assert_array_equal(pred[0], wanted)
    assert (pred.dtype, len(pred.unique())) == (torch.uint8, 4)


def test_an_order_of_other_regions_is_refused(file):
    transform = preprocessing()
    with pytest.raises(InputError, match="regions_class_order must have a class number for each of 4 regions"):
        InvertArgmaxd("pred", transform, regions_class_order=[1, 2])(predicted(transform, file))
