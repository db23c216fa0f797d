"""The steps of the MONAI model zoo's own verification, for every bundle of this repository and without a network.

They are those of Project-MONAI/model-zoo: ``ci/verify_bundle.py``, ``ci/get_bundle_requirements.py`` and
``CONTRIBUTING.md``. Only that the version is new to the zoo is left out, which its ``model_info.json`` alone can tell.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import semicl_monai

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).with_name("meta_schema_20240725.json")
LARGEST_FILE = 25 * 2**20
WEIGHTS = (".pt", ".pth", ".ts", ".onnx", ".ckpt", ".safetensors")
REQUIRED_FILES = {
    "LICENSE",
    "configs/metadata.json",
    "configs/inference.json",
    "docs/README.md",
    "docs/data_license.txt",
}
# Those of docs/readme_template.md that it does not call optional.
README_SECTIONS = {
    "authors",
    "tags",
    "model description",
    "data",
    "preprocessing",
    "performance",
    "system configuration",
}
IDS = {
    "inference": ["bundle_root", "device", "network_def", "inferer", "output_dir"],
    "train": [
        *["bundle_root", "device", "dataset_dir", "output_dir", "val_interval"],
        *["train::trainer", "train::trainer::max_epochs", "train::dataset", "train::dataset::data", "train::handlers"],
        *["train::preprocessing", "train::inferer", "validate::preprocessing", "validate::postprocessing"],
        *["validate::evaluator", "validate::handlers", "validate::dataset", "validate::dataset::data"],
        *["validate::inferer", "validate::key_metric"],
    ],
}


@pytest.fixture(params=sorted(path for path in (ROOT / "bundles").iterdir() if path.is_dir()), ids=lambda p: p.name)
def bundle(request):
    return request.param


@pytest.fixture
def metadata(bundle):
    return json.loads((bundle / "configs/metadata.json").read_text())


@pytest.fixture
def config(bundle, tmp_path):
    """Make ``run_stage`` run a copy of the bundle, which holds nothing that was written into the bundle before."""
    copy = shutil.copytree(bundle, tmp_path / bundle.name, ignore=shutil.ignore_patterns("models", "eval", "cache"))
    return lambda name: copy / "configs" / f"{name}.json"


def _json_files(bundle):
    return sorted([*bundle.glob("*.json"), *bundle.glob("configs/*.json")])


def _shipped(bundle):
    """Return the names of the committed files; where git cannot tell, of all but those the stages write."""
    git = shutil.which("git") or "git"
    try:
        listed = subprocess.run([git, "ls-files"], cwd=bundle, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    present = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    committed = present.intersection(listed.splitlines())
    return committed or {name for name in present if not name.startswith(("models/", "eval/", "cache/"))}


def test_the_files_the_zoo_requires_are_there(bundle):
    present = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*")}
    assert REQUIRED_FILES - present == set()


def test_the_name_is_organ_modality_and_task_and_none_monai_label_reacts_to(bundle):
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){2,}", bundle.name)
    assert not re.search("deepedit|deepgrow|detection|classification", bundle.name)


def test_the_metadata_follow_the_schema_they_name(bundle, metadata, tmp_path):
    # A schema that is there already is not downloaded, whatever its content: hence the comparison of the names.
    assert metadata["schema"].endswith(f"/{SCHEMA.name}")
    shutil.copy(SCHEMA, tmp_path / "schema.json")
    verify_metadata(meta_file=str(bundle / "configs/metadata.json"), filepath=str(tmp_path / "schema.json"))


def test_the_metadata_have_a_display_name_and_a_changelog_with_the_version(metadata):
    assert metadata["name"]
    assert metadata["changelog"][metadata["version"]]


def test_every_package_with_its_version_is_a_pip_requirement_and_one_of_our_dependencies(metadata):
    keys = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    versions = {name: metadata[key] for name, key in keys.items()} | metadata["required_packages_version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {canonicalize_name(given.name): given.specifier for given in map(Requirement, project["dependencies"])}
    ours[project["name"]] = SpecifierSet(f"=={semicl_monai.__version__}")
    for name, version in versions.items():
        asked = Requirement(f"{name}=={version}")
        assert canonicalize_name(asked.name) in ours, f"{name} is no dependency in pyproject.toml."
        assert ours[canonicalize_name(asked.name)].contains(version), f"pyproject.toml refuses {asked}."


def test_no_file_names_a_personal_path(bundle):
    personal = re.compile(r"(?<![\w.])/(home|Users|root|tmp|mnt|work)(?![\w-])|\b[A-Z]:\\")
    texts = [name for name in _shipped(bundle) if not name.endswith(WEIGHTS)]  # bytes of weights are like any path
    contents = {name: (bundle / name).read_text() for name in texts}
    assert {name: match.group() for name, text in contents.items() if (match := personal.search(text))} == {}


def test_the_data_are_looked_for_in_the_workspace(bundle):
    configs = {path.name: json.loads(path.read_text()) for path in bundle.glob("configs/*.json")}
    folders = {name: content["dataset_dir"] for name, content in configs.items() if "dataset_dir" in content}
    assert {"train.json", "inference.json"} <= folders.keys()
    assert {name: folder for name, folder in folders.items() if not folder.startswith("/workspace/data/")} == {}


def test_the_json_files_are_indented_by_four(bundle):
    assert [line for path in _json_files(bundle) for line in _wrongly_indented(path)] == []


def _wrongly_indented(path):
    depth = 0
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        brackets = re.sub(r'"(\\.|[^"\\])*"', "", line).strip()
        opened, closed = (sum(map(brackets.count, pair)) for pair in ("[{", "]}"))
        # A line that begins with a closing bracket stands where the line that opened it stands.
        wanted = depth - (brackets[:1] in ("]", "}"))
        if line != " " * 4 * wanted + line.strip():
            yield f"{path.name}:{number}"
        depth += opened - closed


def test_no_file_is_over_25_mb_and_none_that_is_to_be_downloaded_is_committed_too(bundle):
    shipped = _shipped(bundle)
    assert [name for name in shipped if (bundle / name).stat().st_size > LARGEST_FILE] == []
    for path in bundle.glob("large_files.*"):
        named = {entry["path"]: entry["url"] for entry in ConfigParser.load_config_file(str(path))["large_files"]}
        assert named, f"{path.name} names no file."
        assert named.keys() & shipped == set()


def test_no_other_weights_are_committed(bundle):
    own = bundle.name == "hippocampus_mri_3d_segmentation"
    weights = ["models/model.pt", "models/model_120_labels.pt"] if own else []
    assert sorted(name for name in _shipped(bundle) if name.endswith(WEIGHTS)) == weights


def test_the_ids_the_zoo_and_its_apps_look_for_are_there(bundle):
    for name, ids in IDS.items():
        parser = ConfigParser()
        parser.read_config(str(bundle / f"configs/{name}.json"))
        assert [key for key in ids if key not in parser] == []


def test_validation_comes_at_the_interval_of_its_own_id(bundle):
    handlers = json.loads((bundle / "configs/train.json").read_text())["train"]["handlers"]
    (validation,) = [handler for handler in handlers if handler["_target_"] == "ValidationHandler"]
    assert validation["interval"] == "@val_interval"


def test_no_config_has_a_key_twice(bundle, monkeypatch):
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
    assert all(ConfigParser.load_config_file(str(path)) for path in _json_files(bundle))


def test_the_network_takes_and_gives_what_the_metadata_say(bundle):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        bundle_root=str(bundle),
    )


def test_the_readme_has_the_sections_of_the_template(bundle):
    headings = re.findall(r"^#+ (.*)$", (bundle / "docs/README.md").read_text(), flags=re.MULTILINE)
    assert README_SECTIONS - {heading.strip("* ").lower() for heading in headings} == set()


def test_the_weights_training_leaves_in_a_bundle_export_from_that_bundle_alone(run_stage, config, size, monkeypatch):
    copy = config("train").parents[1]
    (width,) = (option for option in size("train") if option.startswith("network_def::"))
    as_shipped = {width: json.loads(config("inference").read_text())["network_def"][width.partition("::")[2]]}
    run_stage("train", output_dir=str(copy), pretrained="none", validation="none", **as_shipped)

    # As in the zoo: nothing is overridden, and no --key_in_ckpt tells where in the file the weights are.
    monkeypatch.chdir(copy)
    ckpt_export(
        net_id="network_def",
        filepath="models/verify_model.ts",
        ckpt_file="models/model.pt",
        meta_file="configs/metadata.json",
        config_file="configs/inference.json",
        bundle_root=".",
    )
    trained = torch.load("models/model.pt", weights_only=True)
    exported = torch.jit.load("models/verify_model.ts").state_dict()
    assert trained.keys() == exported.keys()
    assert all(torch.equal(trained[name], exported[name]) for name in trained)
