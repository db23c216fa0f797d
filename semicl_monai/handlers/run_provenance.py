"""Record of the cases that the network of a running training has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from ignite.engine import Engine
from torch import nn

from semicl_monai.data import case_name
from semicl_monai.networks import from_scratch, read_provenance, without_deep_supervision
from semicl_monai.utils import InputError, Provenance, file_digest, image_digest, state_digest
from semicl_monai.utils.provenance import SEEN, SeenCase

THREADS = 4  # unpacking and hashing release the GIL


class RunProvenance:
    """The :class:`~semicl_monai.utils.Provenance` of the network of a run, for all files that hold this network.

    The provenance is a part of every checkpoint. A checkpoint therefore records the cases that its network has seen. A
    resumed run still knows the weights that the earlier run started from.

    Args:
        network: the plain network that is kept. Its weights go into the checkpoint.
        seen: for each part, the records ``{"image": path, ...}`` that the stage sees, or a data set of them. The parts
            are ``"labelled"``, ``"unlabelled"`` and ``"validation"``. A record may have a ``"case"`` and a
            ``"patient"``. The images are read when the provenance is first needed.
        pretrained: the pre-trained weights that the network started from, or ``"none"``.
        method: the method that trains the weights.
        classes: names of the classes of the classifier, without background. Empty when no classifier is trained.

    Attributes:
        earlier: the weights that the network started from. Cases seen by these weights count as seen by this network.

    Raises:
        InputError: When ``seen`` has another part than these three.
    """

    # the digest of each network of this process, as it was when a stage of ours last saw the network
    _left: ClassVar[WeakKeyDictionary[nn.Module, str]] = WeakKeyDictionary()

    def __init__(
        self,
        network: nn.Module,
        seen: Mapping[str, Any] | None = None,
        pretrained: str | Path | None = None,
        method: str | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self.network, self.seen, self.method, self.classes = network, records_of(seen), method, tuple(classes)
        self.pretrained = None if from_scratch(pretrained) else pretrained
        self.earlier: list[str | Path] = [] if self.pretrained is None else [self.pretrained]
        self.resumed, self.is_foreign = Provenance(), False
        unknown = [part for part in self.seen if part not in SEEN]
        if unknown:
            raise InputError(f"seen must have the parts {', '.join(SEEN)}, got '{unknown[0]}'.")
        self._left.setdefault(network, self._digest())

    def start(self, engine: Engine) -> None:
        """Check whether somebody else put weights into the network, such as a server of federated learning."""
        loaded = any(weights != self.pretrained for weights in self.earlier)
        if not loaded and not self.is_foreign and self._left[self.network] != self._digest():
            self.is_foreign = True
            engine.logger.warning("Provenance unknown: the training starts from weights that were sent to it.")
        self._own  # noqa: B018 - an unreadable image then ends the run now, not after an epoch

    def complete(self) -> None:
        """Remember the network as it is now."""
        self._left[self.network] = self._digest()

    def current(self) -> Provenance:
        """Return the provenance of the network, without the digest of its state.

        Raises:
            InputError: When an image or the earlier weights cannot be read.
        """
        known = [one for one in (*self._earlier, self.resumed) if one is not None]
        before = {part: [case for one in known for case in one.seen(part)] for part in SEEN}
        seen = {part: _each_once([*before[part], *self._own[part]]) for part in SEEN}
        labelled = {case["image"] for case in seen["labelled"]}
        return Provenance(
            method=self.method,
            pretrained=self._pretrained_digest,
            from_unknown=self.is_foreign or None in self._earlier or any(one.from_unknown for one in known),
            classes=self.classes,
            labelled=seen["labelled"],
            unlabelled=tuple(case for case in seen["unlabelled"] if case["image"] not in labelled),
            validation=seen["validation"],
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the provenance of the network in a checkpoint."""
        return replace(self.current(), state=self._digest()).to_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Keep the cases that the earlier run has seen."""
        self.resumed = Provenance.from_dict(state_dict, "the checkpoint")

    def _digest(self) -> str:
        return state_digest(plain_state(self.network))

    # read once per run: a training that continues from MONAI Label's own model overwrites that file
    @cached_property
    def _earlier(self) -> list[Provenance | None]:
        return [read_provenance(weights) for weights in dict.fromkeys(self.earlier)]

    @cached_property
    def _pretrained_digest(self) -> str | None:
        return file_digest(self.pretrained)

    @cached_property
    def _own(self) -> dict[str, list[SeenCase]]:
        with ThreadPoolExecutor(THREADS) as pool:
            return {part: list(pool.map(_seen_case, self.seen.get(part, []))) for part in SEEN}


def records_of(parts: Mapping[str, Any] | None) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the list of records of each part, which may be given as a list or as a data set."""
    return {part: getattr(records, "data", records) for part, records in (parts or {}).items()}


def plain_state(network: nn.Module) -> dict[str, Any]:
    """Return the state dict to write for a network, without its wrapper and without heads of deep supervision."""
    return without_deep_supervision(getattr(network, "module", network).state_dict())


def _seen_case(record: Mapping[str, Any]) -> SeenCase:
    case = str(record.get("case") or case_name(record["image"]))
    return {"case": case, "image": image_digest(record["image"]), "patient": str(record.get("patient") or case)}


def _each_once(cases: Iterable[SeenCase]) -> tuple[SeenCase, ...]:
    return tuple({tuple(case.items()): case for case in cases}.values())
