from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from semicl_monai.networks import checksum, record_file, record_of
from semicl_monai.utils import InputError


def test_a_record_stands_beside_its_weights(tmp_path):
    (tmp_path / "model.json").write_text('{"method": "pcl"}')
    assert record_of(tmp_path / "model.pt") == {"method": "pcl"}


def test_weights_without_a_record_have_nothing_to_tell(tmp_path):
    assert record_of(tmp_path / "model.pt") == {}


@pytest.mark.parametrize("text", ["{", "7", '"pcl"'])
def test_a_record_that_cannot_be_read_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(
        InputError, match=r"the record .*model\.json beside the weights must be a JSON object"
    ) as caught:
        record_of(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_the_checksum_is_that_of_the_file(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"weights")
    assert checksum(tmp_path / "model.pt") == hashlib.sha256(b"weights").hexdigest()
    assert checksum(tmp_path / "other.pt") is None
    assert checksum(None) is None


@pytest.mark.parametrize("weights", ["a/model.pt", "a/model.pth", "a/model"])
def test_a_record_has_the_name_of_its_weights(weights):
    assert record_file(weights) == Path("a/model.json")
    assert record_file(None) is None
