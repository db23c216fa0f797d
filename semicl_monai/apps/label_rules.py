"""Entries of ``task.json`` for labels that are not complete or not exclusive."""

from __future__ import annotations

from typing import Any

from semicl_monai.data import LabelRules


def with_label_rules(task: dict[str, Any], rules: LabelRules) -> dict[str, Any]:
    """Return a planned task with ``ignore_value``, ``regions`` and ``regions_class_order``, where the data have them.

    The regions are in class numbers, and the network has an output for each of them. ``class_names`` are their names.

    Args:
        task: content of ``task.json``, planned for the exclusive values of the labels.
        rules: what ``dataset.json`` says about the labels.

    Example:
        >>> rules = LabelRules(regions={"whole": (5, 7), "core": (7,)}, regions_class_order=(5, 7))
        >>> task = {"class_names": ["5", "7"], "label_values": [5, 7], "network_def": {"out_channels": "@num_classes"}}
        >>> planned = with_label_rules(task, rules)
        >>> planned["class_names"], planned["regions"], planned["network_def"]
        (['whole', 'core'], [[1, 2], [2]], {'out_channels': '@num_regions'})
    """
    planned = dict(task) if rules.ignore_value is None else {**task, "ignore_value": rules.ignore_value}
    if not rules.regions:
        return planned
    values = task.get("label_values") or rules.values()
    number = {value: index for index, value in enumerate(values, 1)}
    regions = {
        "class_names": list(rules.regions),
        "regions": [[number[value] for value in region] for region in rules.regions.values()],
        "regions_class_order": [number[value] for value in rules.regions_class_order],
    }
    network = {key: "@num_regions" if value == "@num_classes" else value for key, value in task["network_def"].items()}
    return {**planned, **regions, "network_def": network}


def shown_rules(task: dict[str, Any]) -> str:
    """Return what a summary says about regions and voxels to ignore, after the names of the classes.

    Example:
        >>> shown_rules({"regions": [[1, 2], [2]], "ignore_value": 3})
        ' (regions; voxels of value 3 are ignored)'
    """
    said = ["regions"] if task.get("regions") else []
    said += [f"voxels of value {task['ignore_value']} are ignored"] if "ignore_value" in task else []
    return f" ({'; '.join(said)})" if said else ""
