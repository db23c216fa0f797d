"""Methods by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, TypeVar

from semicl_monai.methods.method import Method
from semicl_monai.methods.pretraining import PretrainingMethod
from semicl_monai.utils import InputError, Registry, did_you_mean
from semicl_monai.utils.running_config import running_parser

METHODS = Registry("method", "Pre-training and semi-supervised methods under one trainer.")

AnyMethod = TypeVar("AnyMethod", bound=type[Method])


def add_method(name: str, method: AnyMethod, does: str | None = None) -> AnyMethod:
    """Register a method under a name, for ``--method``.

    Args:
        name: name of the method.
        method: class of the method.
        does: one sentence for the table of methods; by default the first line of the docstring of the class.
    """
    METHODS.add(name, does or (method.__doc__ or "").strip().partition("\n")[0], method)
    return method


def find_method(name: str) -> type[Method]:
    """Return the class of a method.

    Args:
        name: a name registered by :func:`add_method`, or a dotted path, such as ``"my_methods.BarlowTwins"``.

    Raises:
        InputError: When there is no such method, or its class cannot be loaded.

    Example:
        >>> from semicl_monai.methods import find_method
        >>> find_method("pcl").__name__
        'PCL'
    """
    if name in METHODS or "." not in str(name):
        known: type[Method] = METHODS[name]
        return known
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"method {name} cannot be loaded: {error}.") from error
    if not isinstance(found, type) or not issubclass(found, Method):
        raise InputError(f"method {name} must be a subclass of semicl_monai.methods.Method, got {found!r}.")
    if issubclass(found, PretrainingMethod) and not hasattr(found, "objective"):
        raise InputError(f"method {name} must have an objective, the name of its folder of logs: got none.")
    return found


def build_method(method: str, **options: Any) -> Method:
    """Build a method. A field takes the value of the config entry of the same name, if there is one.

    Args:
        method: name of the method, see :func:`find_method`.
        options: values of fields. They win over entries of the config. Fields of other methods are ignored.

    Raises:
        InputError: As :func:`find_method`. Also when an option belongs to no method, or when the class cannot be built.

    Example:
        >>> from semicl_monai.methods import build_method
        >>> build_method("simclr", temperature=0.2, patch_size=32)
        SimCLR(tap='bottleneck', temperature=0.2)
    """
    found = find_method(method)
    names = [field.name for field in fields(found) if field.init]
    parser = running_parser()
    _check_fields(method, options, names)
    given = {name: value for name, value in options.items() if name in names}
    if parser is not None:
        in_config = [name for name in names if name in parser.get() and name not in given]
        given |= {name: parser.get_parsed_content(name) for name in in_config}
    try:
        return found(**given)
    except TypeError as error:  # for example, an abstract class
        raise InputError(f"method {method} cannot be built: {error}.") from error


def _check_fields(method: str, options: Mapping[str, Any], names: Sequence[str]) -> None:
    of_others = {field.name for name in METHODS.names for field in fields(METHODS[name])}
    for option in options:
        if option not in names and option not in of_others:
            known = ", ".join(names) or "none"
            raise InputError(f"method {method} has no option {option}{did_you_mean(option, names)}; known: {known}.")


def name_of(method: type[Method]) -> str:
    """Return the name of a method: its first registered name, else its dotted path."""
    known = (name for name in METHODS.names if METHODS[name] is method)
    return next(known, f"{method.__module__}.{method.__qualname__}")


def stages_of(method: type[Method] | None) -> list[type[PretrainingMethod]]:
    """Return the stages of the pre-training of a method, in order. The last stage is the method itself.

    Example:
        >>> from semicl_monai.methods import find_method, stages_of
        >>> [stage.objective for stage in stages_of(find_method("global_local"))]
        ['global', 'local']
    """
    if method is None or not issubclass(method, PretrainingMethod):
        return []
    return [*stages_of(method.starts_from), method]


def objectives_of(method: str) -> list[str]:
    """Return the objectives of the pre-training of a method, in order. Without pre-training there are none.

    Raises:
        InputError: As :func:`find_method`.

    Example:
        >>> from semicl_monai.methods import objectives_of
        >>> objectives_of("global_local"), objectives_of("mixup")
        (['global', 'local'], [])
    """
    return [stage.objective for stage in stages_of(find_method(method))]
