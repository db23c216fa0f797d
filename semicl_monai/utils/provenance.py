"""Provenance of weights: the cases they were trained on, kept inside their file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from semicl_monai.utils.digest import state_digest
from semicl_monai.utils.errors import InputError

SEEN = ("labelled", "unlabelled", "validation")
ENTRY = "provenance"
OF_A_CASE = {"case", "image", "patient"}

SeenCase = dict[str, str]


@dataclass(frozen=True)
class Provenance:
    """How weights were made, and which cases they have seen.

    Each case is ``{"case": name, "image": digest, "patient": name}``, see :func:`semicl_monai.utils.image_digest`. The
    patient is the case itself where none was given.

    Args:
        method: the method that made them.
        pretrained: SHA-256 of the file of the initial weights; ``None`` from scratch.
        state: :func:`semicl_monai.utils.state_digest` of the tensors it describes.
        from_unknown: whether the provenance of the initial weights is unknown.
        classes: names of the classes the classifier was trained for, without background; none after pre-training.
        labelled: cases that were seen with their labels.
        unlabelled: cases whose image alone was seen.
        validation: cases that were used to choose the best epoch.
    """

    method: str | None = None
    pretrained: str | None = None
    state: str | None = None
    from_unknown: bool = False
    classes: tuple[str, ...] = ()
    labelled: tuple[SeenCase, ...] = ()
    unlabelled: tuple[SeenCase, ...] = ()
    validation: tuple[SeenCase, ...] = ()

    def seen(self, *parts: str) -> list[SeenCase]:
        """Return the cases of the given parts, each ``"labelled"``, ``"unlabelled"`` or ``"validation"``."""
        return [case for part in parts for case in getattr(self, part)]

    @property
    def is_untrained(self) -> bool:
        """Whether the weights are those of a new network."""
        return self.pretrained is None and not self.from_unknown and not self.seen(*SEEN)

    def belongs_to(self, state: Mapping[str, torch.Tensor]) -> bool:
        """Whether this provenance describes these tensors, unchanged."""
        return self.state == state_digest(state)

    def to_dict(self) -> dict[str, Any]:
        """Return the provenance as plain lists, mappings and text. :meth:`from_dict` reads them."""
        lists = {part: [dict(case) for case in getattr(self, part)] for part in SEEN}
        return {**asdict(self), "classes": list(self.classes), **lists}

    @classmethod
    def from_dict(cls, content: Any, where: object) -> Provenance:
        """Read a mapping made by :meth:`to_dict`.

        Args:
            content: the mapping.
            where: the file that holds the mapping, for the error.

        Raises:
            InputError: When ``content`` is not such a mapping.
        """
        wanted = cls().to_dict()
        _check(isinstance(content, Mapping), where, "must be a mapping", content)
        _check(set(content) == set(wanted), where, f"must have the entries {', '.join(wanted)}", list(content))
        for name in ("method", "pretrained", "state"):
            _check(isinstance(content[name], str | None), where, f"'{name}' must be text", content[name])
        _check(
            isinstance(content["from_unknown"], bool), where, "'from_unknown' must be a bool", content["from_unknown"]
        )
        classes = content["classes"]
        _check(
            _is_list(classes, lambda name: isinstance(name, str)), where, "'classes' must be a list of text", classes
        )
        cases = f"must be a list of mappings with {', '.join(sorted(OF_A_CASE))}"
        for part in SEEN:
            _check(_is_list(content[part], _is_case), where, f"'{part}' {cases}", content[part])
        return cls(**{**content, **{name: tuple(content[name]) for name in ("classes", *SEEN)}})


def with_provenance(state: Mapping[str, torch.Tensor], provenance: Provenance) -> OrderedDict[str, torch.Tensor]:
    """Return the state dict with its provenance, ready for :func:`torch.save`.

    Its entries are the tensors alone, as programs that load weights expect. The provenance is an attribute of the
    mapping, like the metadata of :meth:`torch.nn.Module.state_dict`. :func:`torch.load` restores it, also with
    ``weights_only=True``.

    Args:
        state: the state dict.
        provenance: provenance of these tensors; the digest of their state is filled in.
    """
    stamped = OrderedDict(state)
    vars(stamped)[ENTRY] = replace(provenance, state=state_digest(state)).to_dict()
    return stamped


def provenance_in(content: Any) -> Any:
    """Return the raw provenance in a loaded file of weights, for :meth:`Provenance.from_dict`, or ``None``."""
    for level in _levels(content):
        found = getattr(level, "__dict__", {}).get(ENTRY, level.get(ENTRY))
        if isinstance(found, Mapping):
            return found
    return None


def _levels(content: Any) -> Iterable[Mapping[str, Any]]:
    """The content, and the state dicts in it where it is a checkpoint."""
    if isinstance(content, Mapping):
        yield content
        yield from (value for value in content.values() if isinstance(value, OrderedDict))


def _is_list(values: Any, is_one: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(map(is_one, values))


def _is_case(case: Any) -> bool:
    return isinstance(case, Mapping) and set(case) == OF_A_CASE and all(isinstance(v, str) for v in case.values())


def _check(good: bool, where: object, wanted: str, got: Any) -> None:
    if not good:
        raise InputError(f"the provenance in {where} {wanted}, got {' '.join(str(got).split())[:80]}.")
