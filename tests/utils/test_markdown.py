from __future__ import annotations

from semicl_monai.utils import markdown_table


def test_aligned_columns_have_one_width_and_a_bar_in_a_cell_is_escaped():
    lines = markdown_table(["a", "wide"], [["b|c", "d"]], aligned=True).splitlines()
    assert lines == ["| a    | wide |", "| ---- | ---- |", r"| b\|c | d    |"]


def test_a_table_without_rows_has_its_header():
    assert markdown_table(["a", "b"], []) == "| a | b |\n| --- | --- |"
