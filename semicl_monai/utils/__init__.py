from .arguments import check_arguments, paths_of
from .command_line import check_overrides, find_bundle_root, runner_arguments, started_by_user
from .did_you_mean import did_you_mean
from .digest import file_digest, file_stamp, image_digest, state_digest, volume_file_digest, voxel_count
from .distributed import data_parallel, is_not_rank0, local_device, share_of_rank, start_processes
from .duration import duration
from .errors import InputError, error_line, find_input_error, reason_of, show_input_errors
from .files import draft_of, new_folder, read_json, save_json, save_tensors, write_whole
from .foreground_index import ForegroundIndex, annotated_voxel, foreground_voxel
from .freed_memory import keep_freed_memory
from .kept_volume import KeptVolumeTrait, foreground_of, pack_volume, planes_in_one_piece, unpack_volume, untracked
from .label_maps import IGNORED, check_regions, decode_regions, region_maps
from .lock import lock_folders, unlock_folders
from .many_samples import has_usual_settings, transform_once, transform_samples
from .markdown import markdown_table
from .option_checks import check_network, check_number_signs, check_options, help_text
from .option_table import OPTIONS, Option, method_options, options_of
from .options import check_writable, dividing_interval, is_true, one_of
from .precision import at_least_float32, default_amp, multiplies_bfloat16
from .processor import processor_name
from .provenance import Provenance, with_provenance
from .random_round import random_round
from .random_state import share_random_state
from .registry import Registry
from .running_config import running_call, running_config

__all__ = [
    "IGNORED",
    "OPTIONS",
    "ForegroundIndex",
    "InputError",
    "KeptVolumeTrait",
    "Option",
    "Provenance",
    "Registry",
    "annotated_voxel",
    "at_least_float32",
    "check_arguments",
    "check_network",
    "check_number_signs",
    "check_options",
    "check_overrides",
    "check_regions",
    "check_writable",
    "data_parallel",
    "decode_regions",
    "default_amp",
    "did_you_mean",
    "dividing_interval",
    "draft_of",
    "duration",
    "error_line",
    "file_digest",
    "file_stamp",
    "find_bundle_root",
    "find_input_error",
    "foreground_of",
    "foreground_voxel",
    "has_usual_settings",
    "help_text",
    "image_digest",
    "is_not_rank0",
    "is_true",
    "keep_freed_memory",
    "local_device",
    "lock_folders",
    "markdown_table",
    "method_options",
    "multiplies_bfloat16",
    "new_folder",
    "one_of",
    "options_of",
    "pack_volume",
    "paths_of",
    "planes_in_one_piece",
    "processor_name",
    "random_round",
    "read_json",
    "reason_of",
    "region_maps",
    "runner_arguments",
    "running_call",
    "running_config",
    "save_json",
    "save_tensors",
    "share_of_rank",
    "share_random_state",
    "show_input_errors",
    "start_processes",
    "started_by_user",
    "state_digest",
    "transform_once",
    "transform_samples",
    "unlock_folders",
    "unpack_volume",
    "untracked",
    "volume_file_digest",
    "voxel_count",
    "with_provenance",
    "write_whole",
]
