"""The options of the stages: what each may be, and what it means. Checks, ``--help`` and the README go by it."""

from __future__ import annotations

from dataclasses import dataclass

from semicl_monai.utils.option_kinds import (
    AXIS,
    COMPONENT,
    DEVICE,
    FOLDER,
    FRACTION,
    NAMES,
    PATH,
    POSITIVE,
    SEED,
    SHARE,
    SWITCH,
    TEXT,
    Kind,
    choice,
    number,
    whole,
)

STAGES = ("pretrain", "train", "evaluate", "inference")


@dataclass(frozen=True)
class Option:
    """An option of one or more stages.

    Args:
        name: of the option, ``--name`` on the command line.
        kind: what it may be.
        stages: the stages that have it.
        meaning: one sentence.
        of_method: whether it is a field of methods, whose default is that of the method, and no entry of the config.
        old_name: another name that is still taken.
    """

    name: str
    kind: Kind
    stages: tuple[str, ...]
    meaning: str
    of_method: bool = False
    old_name: str | None = None


_PRETRAIN, _TRAIN, _INFERENCE = ("pretrain",), ("train",), ("inference",)
_TRAINING, _LISTS, _MASKS = ("pretrain", "train"), ("pretrain", "train", "evaluate"), ("evaluate", "inference")

OPTIONS = (
    Option("dataset_dir", PATH, STAGES, "Folder of the data set; in inference a folder of images, or one image."),
    Option("datalist_file", PATH, _LISTS, "JSON file of the cases, absolute or relative to dataset_dir."),
    Option("download", SWITCH, _LISTS, "Fetch the Decathlon task that the last folder of dataset_dir names."),
    Option(
        "labelled_fraction",
        FRACTION,
        _LISTS,
        "Share of the training volumes whose labels are used (1.0: all), or a number of volumes (6).",
    ),
    Option(
        "split_seed", SEED, _LISTS, "Seed of the split by volume, 3:1:1; the labelled subsets of one seed are nested."
    ),
    Option("split_file", PATH.or_none(), _LISTS, "The split of an earlier run, exactly; every run writes its own."),
    Option(
        "add_new_labels",
        SWITCH,
        _LISTS,
        "With split_file: cases that have got a label since train too; what is held out stays so.",
    ),
    Option(
        "group_pattern",
        TEXT.or_none(),
        _LISTS,
        "Regular expression whose first group in a case name is the patient; splits go by patient.",
    ),
    Option("method", TEXT.or_none(), _TRAINING, "One of the methods below; train goes on with that of its weights."),
    Option(
        "pixel_sampler",
        TEXT,
        _TRAINING,
        "Pixels that are contrasted: stride (every fourth in each axis), block, full or balanced.",
        of_method=True,
        old_name="sampler",
    ),
    Option("block_size", whole(1), _TRAINING, "Edge of a block of the sampler block, in pixels.", of_method=True),
    Option("temperature", POSITIVE, _TRAINING, "Temperature of the contrast.", of_method=True),
    Option(
        "position_threshold",
        number(0, 1, above=True),
        _PRETRAIN,
        "Distance up to which slices are alike in pcl.",
        of_method=True,
    ),
    Option("patch_size", whole(1), _PRETRAIN, "Side of a piece of the jigsaw of pirl, in pixels.", of_method=True),
    Option("embedding", choice("pca", "tsne"), _PRETRAIN, "Projection of the picture of the embedding space."),
    Option(
        "pretrained",
        PATH.or_none(),
        _TRAINING,
        "Weights to start from, or none; train takes those of the pretrain stage by default.",
    ),
    Option(
        "validation",
        choice("best", "none"),
        _LISTS,
        "best: the validation volumes choose the network; none: every volume that is not a test volume trains, and "
        "the last network is kept.",
    ),
    Option("val_interval", whole(1), _TRAINING, "Epochs from one validation to the next."),
    Option("epochs", whole(1), _TRAINING, "Epochs of each stage."),
    Option("iterations_per_epoch", whole(1), _TRAINING, "Batches an epoch."),
    Option("batch_size", whole(1), _TRAINING, "Volumes a batch, of all processes together."),
    Option("samples_per_volume", whole(1), _TRAINING, "Slices or patches that are drawn from each volume."),
    Option("foreground_share", SHARE, _TRAINING, "Share of the samples that are drawn where a label is."),
    Option("learning_rate", number(0), _TRAINING, "Learning rate of AdamW, along a cosine."),
    Option("pretrained_learning_rate", number(0), _TRAIN, "Learning rate of what was pre-trained."),
    Option(
        "classifier_learning_rate", number(0), _TRAIN, "Learning rate of the last layer, which no pre-training trains."
    ),
    Option(
        "warm_up_epochs",
        whole(0),
        _TRAIN,
        "Epochs by labels alone, before a method listens to its teacher.",
        of_method=True,
    ),
    Option("ramp_up_epochs", whole(1), _TRAIN, "Epochs in which the weight of the teacher rises.", of_method=True),
    Option("consistency_weight", number(0), _TRAIN, "Weight of the term for unlabelled images.", of_method=True),
    Option(
        "teacher_decay",
        number(0, 1, above=True, below=True),
        _TRAIN,
        "How slowly a teacher follows its student.",
        of_method=True,
    ),
    Option("teacher_noise", number(0), _TRAIN, "Noise on the images of mean_teacher's teacher.", of_method=True),
    Option("pseudo_threshold", SHARE, _TRAIN, "Confidence from which a teacher's label counts.", of_method=True),
    Option(
        "soft_pseudo_labels",
        SWITCH,
        _TRAIN,
        "Learn the teacher's probabilities in place of its labels.",
        of_method=True,
    ),
    Option("elastic_prob", SHARE, _TRAINING, "Probability of an elastic deformation.", of_method=True),
    Option("elastic_range", number(0), _TRAINING, "Strength of the elastic deformation.", of_method=True),
    Option("cut_mix_prob", SHARE, _TRAIN, "Probability that a box of another image is pasted in.", of_method=True),
    Option("mixup_alpha", POSITIVE, _TRAIN, "Parameter of the Beta distribution of mixup.", of_method=True),
    Option("deep_supervision", SWITCH, _TRAIN, "Losses at lower resolutions too (3-D bundles)."),
    Option("shift_range", number(0), _TRAINING, "Largest random shift of intensities."),
    Option("noise_std", number(0), _TRAINING, "Standard deviation of random noise on intensities."),
    Option("seed", SEED, _TRAINING, "Seed of everything random in a run but the split."),
    Option("num_workers", whole(0), _TRAINING, "Processes that augment; 0: a thread. The batches are the same."),
    Option("resume", SWITCH, _TRAINING, "Continue a run that was stopped, from its last checkpoint."),
    Option("checkpoint_interval", whole(1), _TRAINING, "Epochs from one checkpoint to the next."),
    Option("weights", PATH, _MASKS, "Weights to use, models/model.pt of output_dir by default."),
    Option(
        "allow_unknown_provenance",
        SWITCH,
        ("evaluate",),
        "Evaluate weights of which is not known what they have seen; the tables then say so.",
    ),
    Option("part", choice("test", "validation"), ("evaluate",), "The volumes to evaluate."),
    Option("num_overlays", whole(0), ("evaluate",), "Cases of which a picture is drawn."),
    Option("mirror_axes", whole(0).listed(), _MASKS, "Average the predictions of images mirrored along these axes."),
    Option("original_values", SWITCH, _INFERENCE, "Write masks in the values of the data set's own labels."),
    Option(
        "output_postfix",
        TEXT.or_none(),
        _INFERENCE,
        "What the name of a mask ends in; '' names it as nnU-Net does.",
    ),
    Option("output_dir", FOLDER, STAGES, "Where models and eval go; the bundle's folder by default."),
    Option("ckpt_dir", FOLDER, STAGES, "Folder of the weights, models of output_dir by default."),
    Option("log_dir", FOLDER, STAGES, "Folder of tables and pictures, eval/STAGE of output_dir by default."),
    Option(
        "cache_dir",
        PATH.or_none(),
        STAGES,
        "Keep prepared volumes there, for later runs too.",
    ),
    Option("device", DEVICE, STAGES, "Where to run; a GPU by default where there is one."),
    Option("amp", SWITCH, STAGES, "Mixed precision; on a GPU by default."),
    Option("bfloat16", SWITCH, STAGES, "Run the network in bfloat16."),
    Option("in_channels", whole(1), STAGES, "Channels of an image."),
    Option("class_names", NAMES, STAGES, "Names of the classes 1, 2, ..."),
    Option("replace_nan", number().or_none(), STAGES, "Number to put in place of NaN, as outside of the body."),
    Option(
        "network_layout",
        COMPONENT.or_none(),
        _TRAINING,
        "Names of the parts of a network that is none of the known ones, see CONTRIBUTING.md.",
    ),
    Option("spacing", POSITIVE.listed(3).or_none(), STAGES, "Voxel size to bring images to, in mm."),
    Option("slice_axis", AXIS, STAGES, "Axis across which slices are taken, of an image in RAS."),
    Option("roi_size", whole(1).listed(), STAGES, "Size of a slice or patch, in voxels."),
)


def options_of(stage: str) -> tuple[Option, ...]:
    """Return the options of a stage.

    Example:
        >>> [option.name for option in options_of("inference")][:3]
        ['dataset_dir', 'weights', 'mirror_axes']
    """
    return tuple(option for option in OPTIONS if stage in option.stages)


def method_options(stage: str) -> list[str]:
    """Return the names of the options of a stage that are fields of methods, old names included.

    Example:
        >>> method_options("pretrain")[:3]
        ['pixel_sampler', 'sampler', 'block_size']
    """
    options = [option for option in options_of(stage) if option.of_method]
    return [name for option in options for name in (option.name, option.old_name) if name]
