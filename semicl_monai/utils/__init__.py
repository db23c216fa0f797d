from .arguments import check_arguments, paths_of
from .check_options import check_network, check_options, help_text, refuse_number_signs
from .command_line import check_overrides, find_bundle_root, runner_arguments, started_by_user
from .distributed import data_parallel, local_device, share_of_rank, start_processes
from .errors import InputError, find_input_error, show_input_errors
from .files import read_json, save_json, save_tensors, write_whole
from .option_table import OPTIONS, Option, options_of
from .options import check_writable, dividing_interval, is_true, one_of
from .precision import at_least_float32, multiplies_bfloat16
from .registry import Registry
from .running_config import running_call, running_config

__all__ = [
    "OPTIONS",
    "InputError",
    "Option",
    "Registry",
    "at_least_float32",
    "check_arguments",
    "check_network",
    "check_options",
    "check_overrides",
    "check_writable",
    "data_parallel",
    "dividing_interval",
    "find_bundle_root",
    "find_input_error",
    "help_text",
    "is_true",
    "local_device",
    "multiplies_bfloat16",
    "one_of",
    "options_of",
    "paths_of",
    "read_json",
    "refuse_number_signs",
    "runner_arguments",
    "running_call",
    "running_config",
    "save_json",
    "save_tensors",
    "share_of_rank",
    "show_input_errors",
    "start_processes",
    "started_by_user",
    "write_whole",
]
