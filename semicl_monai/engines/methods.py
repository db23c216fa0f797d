"""The methods that are compared: what each pre-trains for, and how it is fine-tuned."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from semicl_monai.data import SegmentationDatalist
from semicl_monai.networks import from_scratch, made_by
from semicl_monai.utils import InputError, Registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """What a method does, in the words of the configs.

    Args:
        objectives: what it pre-trains for, in order.
        fine_tuning: how it is fine-tuned: ``"supervised"``, or by a method of that name, such as ``"mean_teacher"``.
        sees: what it sees before or beyond supervised fine-tuning.
        trains: which part of the network its pre-training changes.
        paper: where it is from.
    """

    objectives: tuple[str, ...]
    fine_tuning: str
    sees: str
    trains: str
    paper: str


METHODS = Registry("method", "Pre-training and semi-supervised methods under one trainer.")


SEMI_SUPERVISED = ("mean_teacher", "tcsm", "self_training", "local_pseudo")
IMAGES, LABELS, BOTH = "all training images", "labelled images and labels", "all training images; labels"
HU = "Hu et al. 2021, arXiv:2109.07407"
SIMCLR = "Chen et al. 2020, arXiv:2002.05709"
CHAITANYA = "Chaitanya et al. 2020, arXiv:2006.10511"


def _pretrain(name: str, *objectives: str, does: str, sees: str = IMAGES, trains: str = "encoder", paper: str) -> None:
    METHODS.add(name, does, Method(objectives, "supervised", sees, trains, paper))


def _fine_tune(name: str, does: str, sees: str, paper: str) -> None:
    METHODS.add(name, does, Method((), name, sees, "nothing; all in fine-tuning", paper))


_pretrain("random", does="No pre-training.", sees="nothing", trains="nothing", paper="-")
_pretrain("rotation", "rotation", does="Tell rotations apart.", paper="Gidaris et al. 2018, arXiv:1803.07728")
_pretrain("pirl", "jigsaw", does="Recognise jigsaws.", paper="Misra and van der Maaten 2020, arXiv:1912.01991")
_pretrain("simclr", "global", does="Contrast slices.", paper=SIMCLR)
_pretrain("global", "global", does="The same as simclr.", paper=SIMCLR)
_pretrain("chaitanya_global", "partition", does="Contrast partitions of volumes (G^D).", paper=CHAITANYA)
_pretrain(
    "chaitanya_global_local",
    "partition",
    "region",
    does="Then contrast regions of maps (L^R).",
    trains="encoder; then decoder blocks 1-3",
    paper=CHAITANYA,
)
_pretrain("pcl", "position", does="Contrast positions of slices.", paper="Zeng et al. 2021, arXiv:2106.09157")
_pretrain("local", "local", does="Contrast labelled pixels.", sees=LABELS, trains="encoder and decoder", paper=HU)
_pretrain(
    "global_local",
    "global",
    "local",
    does="First global, then local.",
    sees=BOTH,
    trains="encoder; then encoder and decoder",
    paper=HU,
)
_pretrain(
    "joint",
    "joint",
    does="Both of global_local at once.",
    sees=BOTH,
    trains="encoder and decoder",
    paper=HU,
)
_fine_tune("mixup", "Fine-tune on mixed images.", LABELS, "Zhang et al. 2018, arXiv:1710.09412")
_fine_tune("mean_teacher", "Agree with a teacher.", BOTH, "Tarvainen and Valpola 2017, arXiv:1703.01780")
_fine_tune("tcsm", "Agree with a teacher under symmetries.", BOTH, "Li et al. 2020, arXiv:1903.00348")
_fine_tune("self_training", "Learn a teacher's confident labels.", BOTH, "Sohn et al. 2020, arXiv:2001.07685")
_fine_tune("local_pseudo", "Contrast pixels by all labels.", BOTH, "Chaitanya et al. 2023, arXiv:2112.09645")


def objectives(method: str, pretrained: str | Path | None = None) -> list[str]:
    """Return the objectives that ``method`` pre-trains for, in order; none for a method without pre-training.

    Args:
        method: the method.
        pretrained: file of weights to go on from: what they were pre-trained for is left out.

    Raises:
        InputError: When the method is unknown, or does not go on from what the weights were pre-trained for.

    Example:
        >>> objectives("global_local")
        ['global', 'local']
    """
    wanted = list(METHODS[method].objectives)
    known = None if from_scratch(pretrained) else made_by(str(pretrained))
    done = list(METHODS[known].objectives) if known else []
    if wanted[: len(done)] != done:
        raise InputError(f"method {method} does not go on from {pretrained}, which method {known} has pre-trained.")
    return wanted[len(done) :]


def contrasts_pixels(method: str) -> bool:
    """Whether ``method`` contrasts pixels that a sampler takes, in pre-training or in fine-tuning.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> contrasts_pixels("joint"), contrasts_pixels("simclr")
        (True, False)
    """
    found = METHODS[method]
    return found.fine_tuning == "local_pseudo" or not {"local", "joint"}.isdisjoint(found.objectives)


def method_of_run(method: str | None, pretrained: str | Path | None) -> str:
    """Return the method a fine-tuning run belongs to: the one asked for, or the one its weights were pre-trained by.

    A method without pre-training, such as ``"mean_teacher"``, goes with any weights.

    Args:
        method: the method asked for, or ``None``.
        pretrained: file of weights, in which a stage of ours has written its method; ``"none"`` for no weights.

    Returns:
        The method; ``"random"`` when none was asked for and the weights, if any, are not ours.

    Raises:
        InputError: When ``method`` is unknown, or pre-trains for something else than the weights were, or the weights
            cannot be read.
    """
    known = "random" if from_scratch(pretrained) else made_by(str(pretrained))
    if method is None:
        return known or "random"
    if known and objectives(method) and objectives(method) != objectives(known):
        raise InputError(f"method {method} wants weights it has pre-trained, got {pretrained} of method {known}.")
    return method


def fine_tuning(method: str, datalist: SegmentationDatalist | None = None) -> str:
    """Return how ``method`` is fine-tuned: ``"supervised"``, or by a method of that name, such as ``"mean_teacher"``.

    Args:
        method: the method.
        datalist: where the unlabelled volumes would be found, when the method was not asked for but is that of the
            weights: without any, as in MONAI Label, which has no data list, fine-tuning is supervised.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> fine_tuning("global_local")
        'supervised'
    """
    how = METHODS[method].fine_tuning
    if datalist is None or how not in SEMI_SUPERVISED or datalist.has_unlabelled():
        return how
    logger.warning(f"There is no unlabelled volume for {how}: fine-tuning is supervised.")
    return "supervised"
