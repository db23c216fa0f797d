from __future__ import annotations

import pytest
from ignite.engine import Engine
from monai.data import get_track_meta

from semicl_monai.engines import run_without_metadata


class OfOneBatch(Engine):
    def run(self):
        return super().run([0])


def test_a_trainer_runs_without_metadata_and_what_comes_after_it_has_it():
    seen = []
    run_without_metadata(OfOneBatch(lambda engine, batch: seen.append(get_track_meta())))
    assert seen == [False]
    assert get_track_meta()


def test_after_an_error_metadata_are_tracked_as_before():
    def fail(engine, batch):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_without_metadata(OfOneBatch(fail))
    assert get_track_meta()
