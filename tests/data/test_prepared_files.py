from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from threading import Lock

import nibabel
import nrrd
import numpy as np
import pytest
import torch
from dicom_data import write_series
from monai.bundle import ConfigParser
from monai.data import MetaTensor, set_track_meta
from monai.transforms import Compose, Lambdad, MapTransform, RandFlipd, RandGaussianNoised, ToTensord
from monai.utils import ensure_tuple

from semicl_monai.data import AugmentingDataLoader, SeededRandomSampler, VolumeDataset, prepared_files, volume_dataset
from semicl_monai.transforms import LoadCased, RandSlicesd
from semicl_monai.utils import InputError

KEYS = ("image", "label")
READING = Lock()  # numpy parses the header of a file, which threads of Python 3.11 cannot do at once
PIPELINE = [
    {"_target_": "semicl_monai.transforms.LoadCased", "keys": KEYS, "num_classes": 3, "allow_missing_keys": True},
    {"_target_": "Orientationd", "keys": KEYS, "axcodes": "RAS", "labels": None, "allow_missing_keys": True},
    {
        "_target_": "Spacingd",
        "keys": KEYS,
        "pixdim": "$[@spacing] * 3",
        "mode": ["bilinear", "nearest"],
        "allow_missing_keys": True,
    },
    {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": "@a_max", "b_min": 0.0, "b_max": 1.0},
    {"_target_": "SpatialPadd", "keys": KEYS, "spatial_size": [8, 8, -1], "allow_missing_keys": True},
    {"_target_": "EnsureTyped", "keys": KEYS, "track_meta": False, "allow_missing_keys": True},
]


def _read(file):
    with READING:
        return torch.from_numpy(np.load(file))


class Load(MapTransform):
    """Open the arrays of a record, and remember which were opened."""

    opened: list[str] = []  # noqa: RUF012  (of the class, as the hash of a transform sees what an instance holds)

    def __init__(self, keys, factor=1):
        super().__init__(keys, allow_missing_keys=True)
        self.factor = factor

    def __call__(self, data):
        sample = dict(data)
        for key in self.key_iterator(data):
            files = ensure_tuple(data[key])
            self.opened.extend(Path(file).stem for file in files)
            sample[key] = torch.cat([_read(file) for file in files]) * self.factor
        return sample


class Meet(MapTransform):
    """Wait until another volume is being prepared too, and count how many are."""

    barrier = threading.Barrier(2, timeout=20)
    inside = most = 0

    def __call__(self, data):
        Meet.inside += 1
        Meet.most = max(Meet.most, Meet.inside)
        self.barrier.wait()
        time.sleep(0.02)
        Meet.inside -= 1
        return data


class Refuse(MapTransform):
    def __call__(self, data):
        time.sleep(0.05)
        raise InputError(f"bad case {data['case']}")


def double(image):
    return image * 2


@pytest.fixture
def opened():
    Load.opened.clear()
    return Load.opened


@pytest.fixture
def records(tmp_path, opened):
    def record(case):
        for key in KEYS:
            values = np.random.default_rng([ord(case), len(key)]).integers(0, 3, (1, 6, 6, 5))
            np.save(tmp_path / f"{key}_{case}.npy", values.astype(np.float32))
        return {key: str(tmp_path / f"{key}_{case}.npy") for key in KEYS} | {"case": case}

    return [record(case) for case in "abcd"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "prepared"


@pytest.fixture
def studies(tmp_path):
    def study(case):
        volume = np.random.default_rng(ord(case)).integers(0, 3, (10, 9, 8)).astype(np.int16)
        for key in KEYS:
            nibabel.save(nibabel.Nifti1Image(volume, np.diag([2.0, -1.0, 1.0, 1.0])), tmp_path / f"{key}_{case}.nii.gz")
        return {key: str(tmp_path / f"{key}_{case}.nii.gz") for key in KEYS}

    return [study(case) for case in "abc"]


def pipeline(spacing=1.0, a_max=2.0):
    return ConfigParser({"spacing": spacing, "a_max": a_max, "transforms": PIPELINE}).get_parsed_content("transforms")


def image_only(record):
    return {key: record[key] for key in ("image", "case")}


def names(folder):
    return sorted(os.listdir(folder))


def files(folder):
    return sorted(folder.glob("*.pt"))


def as_lists(samples):
    return [{key: value.tolist() if torch.is_tensor(value) else value for key, value in s.items()} for s in samples]


def run_child(code, *arguments, **environment):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def test_what_comes_from_disk_is_what_comes_from_memory(studies, folder):
    in_memory = VolumeDataset(studies, Compose(pipeline()))
    for _ in range(2):
        on_disk = VolumeDataset(studies, Compose(pipeline()), cache_dir=folder)
        assert as_lists(on_disk) == as_lists(in_memory)
        assert [on_disk[0][key].dtype for key in KEYS] == [in_memory[0][key].dtype for key in KEYS]
        assert on_disk[0]["case"] == "image_a"
    assert len(files(folder)) == len(names(folder)) == 3


def test_building_it_opens_nothing_and_makes_no_folder(records, folder, opened):
    VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    VolumeDataset([], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    assert opened == []
    assert not folder.exists()


def test_another_stage_with_the_same_deterministic_transforms_opens_no_source_file(records, folder, opened):
    VolumeDataset(records, Compose([Load(KEYS), RandFlipd(KEYS, prob=0.5)]), cache_dir=folder).prepare()
    assert sorted(opened) == sorted(f"{key}_{case}" for key in KEYS for case in "abcd")
    opened.clear()
    other = VolumeDataset(records[::-1], Compose([Load(KEYS), RandSlicesd(KEYS)]), cache_dir=folder)
    other.prepare()
    assert [sample[0]["case"] for sample in other] == ["d", "c", "b", "a"]
    assert opened == []


def test_transforms_that_have_been_used_find_the_same_files(studies, folder):
    transforms = pipeline()
    VolumeDataset(studies, Compose(transforms), cache_dir=folder).prepare()
    VolumeDataset(studies, Compose(transforms), cache_dir=folder).prepare()
    assert len(files(folder)) == 3


@pytest.mark.parametrize("changed", [{"spacing": 2.0}, {"a_max": 3.0}])
def test_other_arguments_of_a_transform_are_other_files(studies, folder, changed):
    VolumeDataset(studies, Compose(pipeline()), cache_dir=folder).prepare()
    other = VolumeDataset(studies, Compose(pipeline(**changed)), cache_dir=folder)
    assert as_lists(other) == as_lists(VolumeDataset(studies, Compose(pipeline(**changed))))
    assert len(files(folder)) == 6


def test_lazy_resampling_and_no_metadata_are_other_files(studies, folder):
    VolumeDataset(studies[:1], Compose(pipeline()), cache_dir=folder).prepare()
    VolumeDataset(studies[:1], Compose(pipeline(), lazy=True), cache_dir=folder).prepare()
    assert len(files(folder)) == 2
    studies = [{"image": study["image"]} for study in studies]
    for track_meta in (False, True):
        set_track_meta(track_meta)
        try:
            VolumeDataset(studies[:1], Compose(pipeline()[:1]), cache_dir=folder).prepare()
        finally:
            set_track_meta(True)
    assert len(files(folder)) == 4


@pytest.mark.parametrize("key", KEYS)
def test_replaced_data_is_prepared_again(records, folder, opened, key):
    VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder).prepare()
    opened.clear()
    np.save(records[1][key], np.full((1, 6, 6, 5), 7, np.float32))
    dataset = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    dataset.prepare()
    assert dataset[1][key].unique().tolist() == [7.0]
    assert opened == ["image_b", "label_b"]


def same_size_and_time(path, write):
    """Change a file and set its time to what it was, as ``cp -p``, ``rsync -t`` and ``touch -d`` do."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def in_place(path, content):
    with open(path, "r+b") as file:
        file.write(content)


def replaced(path, content):
    other = path.with_name("draft")
    other.write_bytes(content)
    os.replace(other, path)


@pytest.mark.parametrize("change", [in_place, replaced])
@pytest.mark.parametrize("channels", [False, True])
def test_data_that_changes_with_its_size_and_time_kept_is_prepared_again(records, folder, change, channels):
    path, content = Path(records[0]["image"]), Path(records[1]["image"]).read_bytes()
    record = {"image": [records[2]["image"], str(path)] if channels else str(path), "case": "a"}
    VolumeDataset([record], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    same_size_and_time(path, lambda: change(path, content))
    image = VolumeDataset([record], Compose([Load(KEYS)]), cache_dir=folder)[0]["image"]
    assert torch.equal(image[-1:], torch.from_numpy(np.load(records[1]["image"])))


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_that_is_set_to_another_file_of_that_size_and_time_is_prepared_again(records, folder, tmp_path, link):
    for record in records:
        os.utime(record["image"], ns=(10**18, 10**18))
    linked = tmp_path / "image.npy"
    link(records[0]["image"], linked)
    VolumeDataset([{"image": str(linked)}], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    linked.unlink()
    link(records[1]["image"], linked)
    image = VolumeDataset([{"image": str(linked)}], Compose([Load(KEYS)]), cache_dir=folder)[0]["image"]
    assert image.tolist() == np.load(records[1]["image"]).tolist()


def test_the_file_of_another_case_under_its_name_is_made_again(records, folder, opened):
    for record in records[:2]:
        VolumeDataset([record], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    first, second = (file.read_bytes() for file in files(folder))
    assert first != second
    files(folder)[0].write_bytes(second)
    opened.clear()
    dataset = VolumeDataset(records[:2], Compose([Load(KEYS)]), cache_dir=folder)
    for sample, record in zip(dataset, records[:2], strict=True):
        assert sample["image"].tolist() == np.load(record["image"]).tolist()
        assert set(sample) == {"image", "label", "case"}
    assert len(opened) == 2, "one case"
    assert [file.stat().st_size for file in files(folder)] == [len(first), len(second)]


def test_the_file_of_another_recipe_under_its_name_is_made_again(records, folder):
    VolumeDataset(records[:1], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    (plain,) = files(folder)
    VolumeDataset(records[:1], Compose([Load(KEYS, factor=3)]), cache_dir=folder).prepare()
    (other,) = set(files(folder)) - {plain}
    plain.write_bytes(other.read_bytes())
    image = VolumeDataset(records[:1], Compose([Load(KEYS)]), cache_dir=folder)[0]["image"]
    assert image.tolist() == np.load(records[0]["image"]).tolist()


def test_a_file_that_is_broken_as_soon_as_it_is_written_names_the_case(records, folder, monkeypatch):
    monkeypatch.setattr(prepared_files.torch, "save", lambda content, file: file.write(b"broken"))
    dataset = VolumeDataset(records[:1], Compose([Load(KEYS)]), cache_dir=folder)
    with pytest.raises(InputError, match=r"^case a: preparing it failed: RuntimeError: [^\n]*$"):
        dataset.prepare()
    with pytest.raises(InputError, match=r"^case a: preparing it failed: RuntimeError: "):
        list(AugmentingDataLoader(dataset))


def test_an_image_may_be_a_list_of_files(records, folder, opened):
    image = [records[0]["image"], records[1]["image"]]
    dataset = VolumeDataset([{"image": image}], Compose([Load(KEYS)]), cache_dir=folder)
    assert dataset[0]["image"].shape == (2, 6, 6, 5)
    assert dataset[0]["case"] == "image_a.npy"
    np.save(image[1], np.full((1, 6, 6, 5), 7, np.float32))
    assert VolumeDataset([{"image": image}], Compose([Load(KEYS)]), cache_dir=folder)[0]["image"][1].min() == 7
    assert len(files(folder)) == 2


def test_other_entries_of_a_record_come_from_the_record_and_change_no_file(records, folder, opened):
    VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder).prepare()
    opened.clear()
    more = [{"patient": 3, **record, "site": [1, 2]} for record in records]
    sample = VolumeDataset(more, Compose([Load(KEYS)]), cache_dir=folder)[2]
    assert (sample["patient"], sample["site"], sample["case"]) == (3, [1, 2], "c")
    assert opened == []


def test_an_unlabelled_record_never_gets_a_label(records, folder, opened):
    VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder).prepare()
    opened.clear()
    unlabelled = VolumeDataset([image_only(record) for record in records], Compose([Load(KEYS)]), cache_dir=folder)
    assert [sorted(sample) for sample in unlabelled] == [["case", "image"]] * 4
    assert opened == [f"image_{case}" for case in "abcd"]
    assert all("label" not in torch.load(file) for file in files(folder) if file.stat().st_size < 2000)


def test_a_label_that_no_transform_reads_stays_a_path(records, folder, opened):
    sample = VolumeDataset(records, Compose([Load("image")]), cache_dir=folder)[0]
    assert sample["label"] == records[0]["label"]
    assert opened == ["image_a"]


def test_names_are_the_same_in_every_process(studies, folder, tmp_path):
    code = f"""if True:
        import sys, json
        from monai.bundle import ConfigParser
        from monai.transforms import Compose
        from semicl_monai.data import VolumeDataset
        config = {{"spacing": 1.0, "a_max": 2.0, "transforms": json.loads(sys.argv[2])}}
        transforms = ConfigParser(config).get_parsed_content("transforms")
        VolumeDataset({studies!r}, Compose(transforms), cache_dir=sys.argv[1]).prepare()
    """
    VolumeDataset(studies, Compose(pipeline()), cache_dir=folder).prepare()
    content = str(PIPELINE).replace("'", '"').replace("(", "[").replace(")", "]")
    content = content.replace("True", "true").replace("False", "false").replace("None", "null")
    children = [run_child(code, tmp_path / seed, content, PYTHONHASHSEED=seed) for seed in "12"]
    assert [child.wait(120) for child in children] == [0, 0]
    assert names(tmp_path / "1") == names(tmp_path / "2") == names(folder)


def test_equal_strings_and_paths_give_equal_names(records, folder, opened, monkeypatch, tmp_path):
    VolumeDataset(records[:1], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    monkeypatch.chdir(tmp_path)
    other = {key: "".join(list(value)) for key, value in records[0].items()} | {"image": Path("image_a.npy")}
    VolumeDataset([other], Compose([Load(["".join("image"), "label"])]), cache_dir=str(folder)).prepare()
    assert len(files(folder)) == 1


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("broken", ["empty", "truncated", "garbage", "not a sample", "code"])
def test_a_broken_file_is_made_again(records, folder, opened, broken, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    VolumeDataset(records[:1], Compose([Load(KEYS)]), cache_dir=folder).prepare()
    (file,) = files(folder)
    whole = file.read_bytes()
    if broken in ("not a sample", "code"):
        torch.save(Trap() if broken == "code" else torch.zeros(3), file)
    else:
        file.write_bytes({"empty": b"", "truncated": whole[:-100], "garbage": b"garbage" * 100}[broken])
    opened.clear()
    for _ in range(2):
        dataset = VolumeDataset(records[:1], Compose([Load(KEYS)]), cache_dir=folder)
        dataset.prepare()
        assert dataset[0]["image"].tolist() == np.load(records[0]["image"]).tolist()
    assert opened == ["image_a", "label_a"]
    assert len(file.read_bytes()) == len(whole)
    assert not Path("trapped").exists()


def test_a_folder_that_cannot_be_written_to_is_an_input_error(records, tmp_path):
    (tmp_path / "file").touch()
    dataset = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=tmp_path / "file" / "cache")
    with pytest.raises(InputError, match=r"^cannot write .*/cache/.*: Not a directory; give a writable --cache_dir\.$"):
        dataset.prepare()


def test_a_full_disk_is_an_input_error_and_leaves_nothing_behind(records, folder):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    dataset = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))  # bytes a file may have
    try:
        with pytest.raises(InputError, match=r"^cannot write .*: File too large; give a writable --cache_dir\.$"):
            dataset.prepare()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert names(folder) == []
    dataset.prepare()
    assert len(files(folder)) == 4


SLOW = """if True:
    import sys, time
    import torch
    from monai.transforms import Compose, MapTransform
    from semicl_monai.data import VolumeDataset

    class Slow(MapTransform):
        def __call__(self, data):
            print(data["case"], flush=True)
            time.sleep(float(sys.argv[2]))
            return {**data, "image": torch.ones(1, 6, 6, 5)}

    records = [{"image": sys.argv[3], "case": case} for case in "abcdef"]
    VolumeDataset(records, Compose([Slow("image")]), cache_dir=sys.argv[1]).prepare()
"""


def test_a_preparation_that_was_killed_goes_on_with_the_missing_cases(records, folder):
    child = run_child(SLOW, folder, 0.5, records[0]["image"])
    deadline = time.monotonic() + 120
    while not folder.is_dir() or len(files(folder)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.kill()
    child.communicate()
    done = len(files(folder))
    assert 3 <= done < 6
    assert all(torch.load(file)["image"].shape == (1, 6, 6, 5) for file in files(folder))
    opened, _ = run_child(SLOW, folder, 0, records[0]["image"]).communicate(timeout=120)
    assert len("".join(opened.split())) == 6 - done  # lines of two threads may run into one
    assert len(files(folder)) == 6


def test_several_processes_may_prepare_one_folder_at_once(records, folder):
    children = [run_child(SLOW, folder, 0.01, records[0]["image"]) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    assert len(files(folder)) == len(names(folder)) == 6
    assert run_child(SLOW, folder, 0, records[0]["image"]).communicate(timeout=120)[0] == ""


def test_each_process_begins_with_its_share(records, folder, opened, monkeypatch):
    monkeypatch.setattr(volume_dataset, "rank_and_size", lambda: (1, 2))
    VolumeDataset(records, Compose([Load("image")]), cache_dir=folder, num_workers=1).prepare()
    assert opened == ["image_b", "image_d", "image_a", "image_c"]


def test_prepare_works_on_as_many_volumes_at_a_time_as_asked_for(records, folder):
    VolumeDataset(records, Compose([Load(KEYS), Meet(KEYS)]), cache_dir=folder, num_workers=2).prepare()
    assert Meet.most == 2


def test_prepare_shows_its_progress(records, folder, capsys):
    VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder).prepare()
    assert "Loading volumes: 100%" in capsys.readouterr().err


def test_bad_input_is_met_in_prepare_and_ends_it(records, folder, opened):
    records = [{**record, "case": f"{record['case']}{number}"} for number in range(10) for record in records]
    dataset = VolumeDataset(records, Compose([Load("image"), Refuse("image")]), cache_dir=folder)
    with pytest.raises(InputError, match=r"^bad case a0$"):
        dataset.prepare()
    assert len(opened) < 40
    assert not folder.exists()


def test_the_seed_of_an_item_decides_its_random_transforms(records, folder):
    def transform():
        return Compose([Load(KEYS), RandSlicesd(KEYS), RandGaussianNoised("image", prob=1.0)])

    in_memory, on_disk = VolumeDataset(records, transform()), VolumeDataset(records, transform(), cache_dir=folder)
    drawn = [as_lists(on_disk[2, 5]), as_lists(in_memory[2, 5]), as_lists(on_disk[2, 6])]
    assert drawn[0] == drawn[1] != drawn[2]
    assert as_lists(on_disk[2, 5]) == drawn[0]


def test_batches_of_a_loading_thread_are_those_from_memory(records, folder):
    def batches(cache_dir):
        transform = Compose([Load(KEYS), RandFlipd(KEYS, prob=0.5), RandGaussianNoised("image", prob=1.0)])
        dataset = VolumeDataset(records, transform, cache_dir=cache_dir)
        sampler = SeededRandomSampler(dataset, num_samples=12, generator=torch.Generator().manual_seed(0))
        return as_lists(AugmentingDataLoader(dataset, sampler=sampler, batch_size=2))

    assert batches(folder) == batches(None)


def test_several_threads_may_ask_for_one_volume_at_once(records, folder):
    dataset = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(dataset.__getitem__, [index for index, _ in zip(cycle(range(4)), range(64))]))
    assert as_lists(samples[:4]) * 16 == as_lists(samples)
    assert len(names(folder)) == 4


def test_writing_into_a_volume_does_not_reach_the_file(records, folder):
    dataset = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    before = dataset[0]["image"].clone()
    dataset[0]["image"].add_(1)
    again = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    assert torch.equal(again[0]["image"], before)


def mapped_places(folder):
    """The memory that the files of a folder are mapped to, as pairs of addresses."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [[int(end, 16) for end in line.split()[0].split("-")] for line in lines if str(folder) in line]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux for the files mapped into memory")
def test_volumes_are_mapped_into_memory_and_not_read(records, folder):
    dataset = VolumeDataset(records, Compose([Load(KEYS)]), cache_dir=folder)
    dataset.prepare()
    mapped = Path("/proc/self/maps").read_text()
    assert [str(file) in mapped for file in files(folder)] == [True] * 4
    kept = {value.data_ptr() for sample in dataset.prepared() for value in (sample["image"], sample["label"])}
    assert all(any(low <= place < high for low, high in mapped_places(folder)) for place in kept)


def test_files_hold_plain_tensors_and_no_more_than_those(records, folder):
    transform = Compose([Load("image"), Lambdad("image", crop), ToTensord("image", track_meta=True)])
    sample = VolumeDataset(records[:1], transform, cache_dir=folder)[0]
    assert not isinstance(sample["image"], MetaTensor)
    assert sample["image"].shape == (1, 6, 6, 5)
    assert files(folder)[0].stat().st_size < 4000


def crop(image):
    """A view of a small part of a large tensor."""
    return torch.cat([image] * 100, dim=1)[:, :6]


def test_a_function_without_a_name_of_its_own_is_refused(records, folder):
    VolumeDataset(records, Compose([Load(KEYS), Lambdad("image", double)]), cache_dir=folder).prepare()
    with pytest.raises(
        InputError, match=r"^cache_dir cannot tell this Lambdad from another one: .*leave cache_dir out\.$"
    ):
        VolumeDataset(records, Compose([Load(KEYS), Lambdad("image", lambda image: image)]), cache_dir=folder)


def test_a_config_may_bring_its_own_data_as_monai_label_does(studies, folder):
    dataset = {"_target_": "semicl_monai.data.VolumeDataset", "data": [], "cache_dir": "@cache_dir"}
    config = {"spacing": 1.0, "a_max": 2.0, "cache_dir": str(folder), "transforms": PIPELINE, "dataset": dataset}
    parser = ConfigParser({**config, "dataset": {**dataset, "transform": "@transforms"}})
    parser["dataset::data"] = studies
    assert [sample["case"] for sample in parser.get_parsed_content("dataset")] == ["image_a", "image_b", "image_c"]
    assert len(files(folder)) == 3
    assert pickle.loads(pickle.dumps(parser.get_parsed_content("dataset")))[0]["image"].ndim == 4


@pytest.mark.parametrize("kind", ["detached", "series"])
def test_a_change_in_any_file_of_a_volume_gives_another_file(tmp_path, kind):
    voxels = np.random.default_rng(0).integers(0, 9, (4, 5, 3)).astype(np.int16)
    if kind == "series":
        image = write_series(tmp_path / "a", voxels, np.eye(4))
        part = image / "IM001.dcm"
    else:
        image, part = tmp_path / "a.nhdr", tmp_path / "a.raw"
        nrrd.write(str(image), voxels, {"spacings": [1.0, 1, 1], "encoding": "raw"})
    data = VolumeDataset([{"image": str(image), "case": "a"}], LoadCased("image", 2), tmp_path / "cache")
    data.prepare()
    data.prepare()
    (first,) = (tmp_path / "cache").iterdir()
    content = bytearray(part.read_bytes())
    content[-2] ^= 1
    part.write_bytes(content)
    VolumeDataset([{"image": str(image), "case": "a"}], LoadCased("image", 2), tmp_path / "cache").prepare()
    assert len({*(tmp_path / "cache").iterdir()} - {first}) == 1
