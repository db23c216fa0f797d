from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from semicl_monai.study import read_entries, save_label_efficiency


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the figure that was saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kw: (figures.append(self), save(self, *args, **kw)))
    return figures


def test_a_line_a_method_with_its_band_and_the_level_of_all_labels(tables, tmp_path, drawn):
    rng = np.random.default_rng(0)
    about = [(method, count) for method in ("random", "local") for count in (6, 12, 120)]
    save_label_efficiency(
        read_entries(tables({key: {0: rng.random((5, 2))} for key in about})), "random", tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    axes = drawn[0].axes[0]
    names = {line.get_label(): line for line in axes.get_lines()}
    assert set(names) == {"random", "local", "random, 120 labels"}
    assert list(names["local"].get_xdata()) == [6, 12, 120]
    assert set(names["random, 120 labels"].get_ydata()) == {names["random"].get_ydata()[-1]}
    assert len([band for band in axes.collections if isinstance(band, PolyCollection)]) == 2


def test_no_two_methods_look_alike(tables, tmp_path, drawn):
    scores = {(f"method {number}", 6): {0: [[0.5, 0.6]] * 3} for number in range(16)}
    save_label_efficiency(read_entries(tables(scores)), "random", tmp_path / "a.png")
    lines = drawn[0].axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 16


def test_a_point_of_fewer_splits_is_hollow(tables, tmp_path, drawn):
    dice = np.full((3, 2), 0.5)
    scores = {("a", 6): {0: dice, 1: dice}, ("b", 6): {1: dice}, ("b", 12): {1: dice}}
    save_label_efficiency(read_entries(tables(scores)), "random", tmp_path / "a.png")
    axes = drawn[0].axes[0]
    points = [found for found in axes.collections if isinstance(found, PathCollection)]
    colors = [to_rgba(line.get_color()) for line in axes.get_lines()]
    assert [[tuple(face) for face in found.get_facecolor()] for found in points] == [
        [colors[0]],
        [to_rgba("white"), colors[1]],
    ]
    assert [tuple(found.get_edgecolor()[0]) for found in points] == colors


def test_without_a_network_from_scratch_there_is_no_level(tables, tmp_path, drawn):
    save_label_efficiency(read_entries(tables({("local", 6): {0: [[0.5, 0.6]] * 3}})), "random", tmp_path / "a.png")
    assert [line.get_label() for line in drawn[0].axes[0].get_lines()] == ["local"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("volumes", "dice"), [(6, np.nan), (0, 0.5)])
def test_a_study_without_a_point_is_an_empty_picture(tables, tmp_path, drawn, volumes, dice):
    scores = {(method, volumes): {0: np.full((3, 2), dice)} for method in ("random", "local")}
    save_label_efficiency(read_entries(tables(scores)), "random", tmp_path / "a.png")
    assert drawn[0].axes[0].get_lines() == []
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_amounts_without_a_dice_are_left_out(tables, tmp_path, drawn):
    none, some = np.full((3, 2), np.nan), np.full((3, 2), 0.5)
    scores = {("random", 6): {0: some}, ("random", 12): {0: none}, ("local", 6): {0: none}}
    save_label_efficiency(read_entries(tables(scores)), "random", tmp_path / "a.png")
    lines = {line.get_label(): list(line.get_xdata()) for line in drawn[0].axes[0].get_lines()}
    assert lines == {"random": [6], "random, 6 labels": [0, 1]}
