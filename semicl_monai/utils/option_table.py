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
        of_method: whether the option is a field of methods. Its default is then that of the method, and the config has
            no such entry.
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
    Option("dataset_dir", PATH, STAGES, "Folder of the data set; in inference a folder, file or pattern of images."),
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
        "With split_file: also train with cases that got a label since; the held-out part stays the same.",
    ),
    Option(
        "group_pattern",
        TEXT.or_none(),
        _LISTS,
        "Regular expression whose first group in a case name is the patient; splits go by patient.",
    ),
    Option(
        "method",
        TEXT.or_none(),
        _TRAINING,
        "One of the methods below; train takes the method of its initial weights by default.",
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
        "block_size",
        whole(1).or_listed(),
        _TRAINING,
        "Edge of a block of the sampler block, in pixels; one number, or one of each axis.",
        of_method=True,
    ),
    Option("temperature", POSITIVE, _TRAINING, "Temperature of the contrast.", of_method=True),
    Option(
        "contrast_with",
        choice("pixels", "prototypes"),
        _TRAINING,
        "What pixels are contrasted with: pixels of the batch, or prototypes, the moving average of each class.",
        of_method=True,
    ),
    Option(
        "contrast_memory",
        whole(0),
        _TRAINING,
        "Number of earlier steps whose pixels are contrasted too.",
        of_method=True,
    ),
    Option(
        "position_threshold",
        number(0, 1, above=True),
        _PRETRAIN,
        "Largest distance of two positive slices in pcl, as a share of the volume.",
        of_method=True,
    ),
    Option("patch_size", whole(1), _PRETRAIN, "Edge of a piece of the jigsaw of pirl, in pixels.", of_method=True),
    Option("embedding", choice("pca", "tsne"), _PRETRAIN, "Projection in the picture of the embedding space."),
    Option(
        "pretrained",
        PATH.or_none(),
        _TRAINING,
        "Initial weights, or none; train takes the weights of the pretrain stage by default.",
    ),
    Option(
        "validation",
        choice("best", "none"),
        _LISTS,
        "best: the validation volumes choose the network; none: they are training volumes too, and the last network "
        "is saved.",
    ),
    Option("val_interval", whole(1), _TRAINING, "Epochs from one validation to the next."),
    Option("epochs", whole(1), _TRAINING, "Epochs of each stage."),
    Option("iterations_per_epoch", whole(1), _TRAINING, "Number of batches of an epoch."),
    Option("batch_size", whole(1), _TRAINING, "Number of volumes of a batch, of all processes together."),
    Option(
        "labelled_batch_size",
        whole(1),
        _TRAIN,
        "Number of labelled volumes of a batch that has unlabelled volumes too.",
    ),
    Option("samples_per_volume", whole(1), _TRAINING, "Number of slices or patches drawn from each volume."),
    Option(
        "foreground_share", SHARE, _TRAINING, "Share of the slices that have foreground, or of the patches around it."
    ),
    Option("learning_rate", number(0), _TRAINING, "Learning rate of AdamW, with a cosine schedule."),
    Option("pretrained_learning_rate", number(0), _TRAIN, "Learning rate of pre-trained parameters."),
    Option(
        "classifier_learning_rate", number(0), _TRAIN, "Learning rate of the last layer, which is never pre-trained."
    ),
    Option(
        "warm_up_epochs",
        whole(0),
        _TRAIN,
        "Number of first epochs with labels alone, before a teacher is used.",
        of_method=True,
    ),
    Option(
        "ramp_up_epochs", whole(1), _TRAIN, "Number of epochs in which the weight of the teacher rises.", of_method=True
    ),
    Option("consistency_weight", number(0), _TRAIN, "Weight of the loss of unlabelled images.", of_method=True),
    Option(
        "teacher_decay",
        number(0, 1, above=True, below=True),
        _TRAIN,
        "Decay of the moving average that makes the teacher.",
        of_method=True,
    ),
    Option("teacher_noise", number(0), _TRAIN, "Noise on the images of the teacher, in mean_teacher.", of_method=True),
    Option(
        "pseudo_threshold", SHARE, _TRAIN, "Lowest confidence at which a label of the teacher is used.", of_method=True
    ),
    Option(
        "soft_pseudo_labels",
        SWITCH,
        _TRAIN,
        "Learn the probabilities of the teacher in place of its labels.",
        of_method=True,
    ),
    Option(
        "elastic_prob",
        SHARE,
        _TRAINING,
        "Probability of an elastic deformation; of slices, only in methods with a teacher.",
        of_method=True,
    ),
    Option("elastic_range", number(0), _TRAINING, "Strength of the elastic deformation.", of_method=True),
    Option(
        "contrast_weight",
        number(0),
        _TRAIN,
        "Weight of the contrast of pixels beside self-training, in local_self_training.",
        of_method=True,
    ),
    Option(
        "contrast_threshold",
        SHARE,
        _TRAIN,
        "Lowest confidence of the teacher at which a pixel is contrasted, in local_self_training.",
        of_method=True,
    ),
    Option("cut_mix_prob", SHARE, _TRAIN, "Probability that a box of another image is pasted in.", of_method=True),
    Option(
        "copy_paste_prob",
        SHARE,
        _TRAIN,
        "Probability that boxes of labelled and unlabelled images are swapped.",
        of_method=True,
    ),
    Option(
        "strong_views",
        whole(1),
        _TRAIN,
        "Number of views of an unlabelled image that the student sees in a step.",
        of_method=True,
    ),
    Option(
        "align_classes",
        SWITCH,
        _TRAIN,
        "Give the teacher's classes the shares of the foreground that they have in labels.",
        of_method=True,
    ),
    Option(
        "snapshots",
        whole(0),
        _TRAIN,
        "Number of snapshots of the teacher that teach beside it.",
        of_method=True,
    ),
    Option(
        "mixup_alpha", POSITIVE, _TRAIN, "Parameter of the Beta distribution of the mixing weights.", of_method=True
    ),
    Option("deep_supervision", SWITCH, _TRAIN, "Also use losses at lower resolutions (networks DynUNet)."),
    Option("zoom_range", number(0), _TRAINING, "Largest random change of size, the same along all axes."),
    Option("rotate90_prob", SHARE, _TRAINING, "Probability that an image is rotated by 90, 180 or 270 degrees."),
    Option(
        "strong_intensity",
        SWITCH,
        _TRAIN,
        "Also change contrast, add a bias field, blur and lower the resolution of images, at random.",
    ),
    Option("shift_range", number(0), _TRAINING, "Largest random shift of intensities."),
    Option("noise_std", number(0), _TRAINING, "Standard deviation of random noise on intensities."),
    Option("seed", SEED, _TRAINING, "Seed of all random numbers of a run, but those of the split."),
    Option(
        "num_workers", whole(0), _TRAINING, "Number of processes that augment; 0: a thread. The batches are the same."
    ),
    Option("resume", SWITCH, _TRAINING, "Continue a run that was stopped, from its last checkpoint."),
    Option("checkpoint_interval", whole(1), _TRAINING, "Epochs from one checkpoint to the next."),
    Option(
        "largest_component",
        SWITCH,
        (*_TRAIN, *_MASKS),
        "Keep one connected component of the foreground, the one in which all classes are large.",
    ),
    Option("weights", PATH, _MASKS, "Weights to use, models/model.pt of output_dir by default."),
    Option(
        "allow_unknown_provenance",
        SWITCH,
        ("evaluate",),
        "Evaluate weights without provenance; the tables then say unknown.",
    ),
    Option(
        "part",
        choice("test", "validation", "held_out"),
        ("evaluate",),
        "Part of the data set that is evaluated; held_out is test and validation together, for --validation none.",
    ),
    Option("num_overlays", whole(0), ("evaluate",), "Number of cases with a picture."),
    Option("mirror_axes", whole(0).listed(), _MASKS, "Average the predictions of images mirrored along these axes."),
    Option("fast_inference", SWITCH, _MASKS, "Overlap windows around foreground only (3-D bundles)."),
    Option("original_values", SWITCH, _INFERENCE, "Write masks in the values of the data set's own labels."),
    Option(
        "output_postfix",
        TEXT.or_none(),
        _INFERENCE,
        "Ending of the name of a mask; '' names it as nnU-Net does.",
    ),
    Option("output_dir", FOLDER, STAGES, "Folder of models and eval; the folder of the bundle by default."),
    Option("ckpt_dir", FOLDER, STAGES, "Folder of the weights, models of output_dir by default."),
    Option("log_dir", FOLDER, STAGES, "Folder of tables and pictures, eval/STAGE of output_dir by default."),
    Option(
        "cache_dir",
        PATH.or_none(),
        STAGES,
        "Folder for prepared volumes, which later runs use too.",
    ),
    Option("device", DEVICE, STAGES, "Device of the run; a GPU by default if there is one."),
    Option("amp", SWITCH, STAGES, "Mixed precision; on a GPU by default."),
    Option("bfloat16", SWITCH, STAGES, "Run the network in bfloat16."),
    Option("in_channels", whole(1), STAGES, "Channels of an image."),
    Option("class_names", NAMES, STAGES, "Names of the classes 1, 2, ..."),
    Option("replace_nan", number().or_none(), STAGES, "Number in place of NaN, for NaN outside of the body."),
    Option(
        "allow_gaps",
        SWITCH,
        STAGES,
        "Use DICOM series with slices at uneven distances; missing slices are interpolated.",
    ),
    Option(
        "network_layout",
        COMPONENT.or_none(),
        _TRAINING,
        "Parts of a network of another kind, see CONTRIBUTING.md.",
    ),
    Option("spacing", POSITIVE.listed(3).or_none(), STAGES, "Voxel size to which images are resampled, in mm."),
    Option("slice_axis", AXIS, STAGES, "Axis across which slices are taken, of an image in RAS orientation."),
    Option("roi_size", whole(1).listed(), STAGES, "Size of a slice or patch, in voxels."),
)


def options_of(stage: str) -> tuple[Option, ...]:
    """Return the options of a stage.

    Example:
        >>> [option.name for option in options_of("inference")][:3]
        ['dataset_dir', 'largest_component', 'weights']
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
