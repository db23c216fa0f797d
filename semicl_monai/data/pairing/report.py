"""What was paired and what was not, in lines for the user."""

from __future__ import annotations

from collections.abc import Sequence

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.pairing import PairedCase, Pairing

MOST = 3  # pairs that are shown


def report_pairs(pairing: Pairing) -> list[str]:
    """Return what was paired by name, what has no label, and what was left out, in lines."""
    labelled = [case for case in pairing.cases if case.label is not None]
    by = "names" if any(case.label and not case.label.series for case in labelled) else "references"
    lines = [f"{len(labelled)} image(s) are paired with a label by their {by}:"]
    lines += [f"  {case.case}: {_pair(case)}" for case in labelled[:MOST]]
    lines += [f"  and {len(labelled) - MOST} more"] if len(labelled) > MOST else []
    bare = [case for case in pairing.cases if case.label is None]
    lines += _cases(bare, "training", "without a label, used as unlabelled")
    lines += _cases(
        [case for case in bare if case.part != "training"], "", "without a label in a folder of test images, not used"
    )
    for part in ("validation", "test"):
        lines += _cases(
            [case for case in labelled if case.part == part], "", f"in a folder {part}, held out as '{part}'"
        )
    patients = {case.patient for case in pairing.cases if case.patient}
    lines += [f"patients: {len(patients)}, by their folders or files; splits keep them together"] if patients else []
    lines += [f"channels, in this order: {_channels(pairing)}"] if len(pairing.cases[0].images) > 1 else []
    return lines + [f"left out as {reason}" for reason in pairing.left_out]


def _cases(cases: Sequence[PairedCase], part: str, what: str) -> list[str]:
    names = [case.case for case in cases if not part or case.part == part]
    return [f"{len(names)} image(s) {what}: {listing(names, MOST)}"] if names else []


def _channels(pairing: Pairing) -> str:
    first = pairing.cases[0]
    names = ", ".join(pairing.channels or [image.parts[-1] for image in first.images])
    return f"{names}; for one of them, give a pattern such as --images {first.images[0].pattern}"


def _pair(case: PairedCase) -> str:
    return f"{' '.join(image.shown for image in case.images)} + {case.label.shown if case.label else ''}"
