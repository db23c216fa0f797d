"""The options of the stages: their values and meanings, for the checks, ``--help`` and the README."""

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
        kind: the values it takes.
        stages: the stages that have it.
        meaning: one sentence.
        of_method: whether it is a field of methods and not a config entry; its default is that of the method.
        old_name: a former name that is still accepted.
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
    Option("download", SWITCH, _LISTS, "Download the Decathlon task that the last folder of dataset_dir names."),
    Option(
        "labelled_fraction",
        FRACTION,
        _LISTS,
        "Share of the training volumes whose labels are used (1.0: all), or a number of volumes (6).",
    ),
    Option(
        "split_seed", SEED, _LISTS, "Seed of the split by volume, 3:1:1; the labelled subsets of one seed are nested."
    ),
    Option(
        "split_file", PATH.or_none(), _LISTS, "Split file of an earlier run, used exactly; every run writes its own."
    ),
    Option(
        "add_new_labels",
        SWITCH,
        _LISTS,
        "With split_file: newly labelled cases train too; held-out cases stay held out.",
    ),
    Option(
        "group_pattern",
        TEXT.or_none(),
        _LISTS,
        "Regular expression whose first group in a case name is the patient; splits go by patient.",
    ),
    Option(
        "method", TEXT.or_none(), _TRAINING, "One of the methods below; train continues with the method of its weights."
    ),
    Option(
        "pixel_sampler",
        TEXT,
        _TRAINING,
        "Pixels that are contrasted: stride (every fourth in each axis), block, full or balanced.",
        of_method=True,
        old_name="sampler",
    ),
    Option(
        "block_size", whole(1), _TRAINING, "Edge length of a block in pixels, for pixel_sampler block.", of_method=True
    ),
    Option("temperature", POSITIVE, _TRAINING, "Temperature of the contrastive loss.", of_method=True),
    Option(
        "position_threshold",
        number(0, 1, above=True),
        _PRETRAIN,
        "Distance within which slices are positives in pcl.",
        of_method=True,
    ),
    Option("patch_size", whole(1), _PRETRAIN, "Edge length of a jigsaw patch in pixels, for pirl.", of_method=True),
    Option("embedding", choice("pca", "tsne"), _PRETRAIN, "Projection for the picture of the embedding space."),
    Option(
        "pretrained",
        PATH.or_none(),
        _TRAINING,
        "Initial weights, or none; train uses those of the pretrain stage by default.",
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
    Option("iterations_per_epoch", whole(1), _TRAINING, "Batches per epoch."),
    Option("batch_size", whole(1), _TRAINING, "Volumes per batch, over all processes."),
    Option("samples_per_volume", whole(1), _TRAINING, "Slices or patches that are drawn from each volume."),
    Option("foreground_share", SHARE, _TRAINING, "Share of the samples that are drawn at foreground."),
    Option("learning_rate", number(0), _TRAINING, "Learning rate of AdamW, with a cosine schedule."),
    Option("pretrained_learning_rate", number(0), _TRAIN, "Learning rate of the pre-trained layers."),
    Option(
        "classifier_learning_rate", number(0), _TRAIN, "Learning rate of the last layer, which no pre-training trains."
    ),
    Option(
        "warm_up_epochs",
        whole(0),
        _TRAIN,
        "Epochs on labels alone, before the teacher is used.",
        of_method=True,
    ),
    Option("ramp_up_epochs", whole(1), _TRAIN, "Epochs over which the weight of the teacher rises.", of_method=True),
    Option("consistency_weight", number(0), _TRAIN, "Weight of the loss on unlabelled images.", of_method=True),
    Option(
        "teacher_decay",
        number(0, 1, above=True, below=True),
        _TRAIN,
        "Decay of the teacher's moving average.",
        of_method=True,
    ),
    Option("teacher_noise", number(0), _TRAIN, "Noise on the teacher's images in mean_teacher.", of_method=True),
    Option("pseudo_threshold", SHARE, _TRAIN, "Least confidence of a teacher's label that is used.", of_method=True),
    Option(
        "soft_pseudo_labels",
        SWITCH,
        _TRAIN,
        "Train on the teacher's probabilities instead of its labels.",
        of_method=True,
    ),
    Option("elastic_prob", SHARE, _TRAINING, "Probability of an elastic deformation.", of_method=True),
    Option("elastic_range", number(0), _TRAINING, "Strength of the elastic deformation.", of_method=True),
    Option("cut_mix_prob", SHARE, _TRAIN, "Probability that a box of another image is pasted in.", of_method=True),
    Option("mixup_alpha", POSITIVE, _TRAIN, "Parameter of the Beta distribution of mixup.", of_method=True),
    Option("deep_supervision", SWITCH, _TRAIN, "Losses at lower resolutions too (3-D bundles)."),
    Option("shift_range", number(0), _TRAINING, "Largest random shift of intensities."),
    Option("noise_std", number(0), _TRAINING, "Standard deviation of random noise on intensities."),
    Option("seed", SEED, _TRAINING, "Seed of all randomness in a run except the split."),
    Option("num_workers", whole(0), _TRAINING, "Processes for augmentation (0: a thread); the batches are the same."),
    Option("resume", SWITCH, _TRAINING, "Continue a run that was stopped, from its last checkpoint."),
    Option("checkpoint_interval", whole(1), _TRAINING, "Epochs from one checkpoint to the next."),
    Option("weights", PATH, _MASKS, "Weights to use, models/model.pt of output_dir by default."),
    Option(
        "allow_unknown_provenance",
        SWITCH,
        ("evaluate",),
        "Evaluate weights of unknown provenance; the tables then say so.",
    ),
    Option("part", choice("test", "validation"), ("evaluate",), "The volumes to evaluate."),
    Option("num_overlays", whole(0), ("evaluate",), "Number of cases to draw a picture of."),
    Option("mirror_axes", whole(0).listed(), _MASKS, "Average the predictions of images mirrored along these axes."),
    Option("original_values", SWITCH, _INFERENCE, "Write masks with the label values of the data set."),
    Option(
        "output_postfix",
        TEXT.or_none(),
        _INFERENCE,
        "Suffix of a mask's name; '' names masks as nnU-Net does.",
    ),
    Option("output_dir", FOLDER, STAGES, "Folder for models and eval; the bundle's folder by default."),
    Option("ckpt_dir", FOLDER, STAGES, "Folder of the weights, models of output_dir by default."),
    Option("log_dir", FOLDER, STAGES, "Folder of tables and pictures, eval/STAGE of output_dir by default."),
    Option(
        "cache_dir",
        PATH.or_none(),
        STAGES,
        "Folder to keep prepared volumes in, for later runs too.",
    ),
    Option("device", DEVICE, STAGES, "Where to run; a GPU by default where there is one."),
    Option("amp", SWITCH, STAGES, "Mixed precision; on a GPU by default."),
    Option("bfloat16", SWITCH, STAGES, "Run the network in bfloat16."),
    Option("in_channels", whole(1), STAGES, "Channels of an image."),
    Option("class_names", NAMES, STAGES, "Names of the classes 1, 2, ..."),
    Option("replace_nan", number().or_none(), STAGES, "Number that replaces NaN, such as outside the body."),
    Option(
        "network_layout",
        COMPONENT.or_none(),
        _TRAINING,
        "Names of the parts of a network without a known layout, see CONTRIBUTING.md.",
    ),
    Option("spacing", POSITIVE.listed(3).or_none(), STAGES, "Voxel size to resample images to, in mm."),
    Option("slice_axis", AXIS, STAGES, "Axis along which slices are stacked, of an image in RAS."),
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
