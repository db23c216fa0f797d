from .command_line import check_overrides, find_bundle_root, runner_arguments
from .errors import InputError, find_input_error, show_input_errors
from .options import check_writable, is_true, one_of, save_json
from .registry import Registry

__all__ = [
    "InputError",
    "Registry",
    "check_overrides",
    "check_writable",
    "find_bundle_root",
    "find_input_error",
    "is_true",
    "one_of",
    "runner_arguments",
    "save_json",
    "show_input_errors",
]
