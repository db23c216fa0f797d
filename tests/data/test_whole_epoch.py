from __future__ import annotations

import pytest

from semicl_monai.data.whole_epoch import whole_epoch


@pytest.mark.parametrize("batches", [[], [1, 2]])
def test_an_epoch_that_ends_early_is_an_error_behind_its_last_batch(batches):
    epoch = whole_epoch(batches, 3)
    assert [next(epoch) for _ in batches] == batches
    with pytest.raises(RuntimeError, match=rf"^an epoch must have 3 batches, got {len(batches)}: its loader ended"):
        next(epoch)


def test_a_whole_epoch_is_given_on():
    assert list(whole_epoch([1, 2], 2)) == [1, 2]
