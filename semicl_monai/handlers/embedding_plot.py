"""Pictures of the embedding space."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from monai.networks.utils import eval_mode
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import nn
from torch.nn import functional as F

from semicl_monai.utils import is_not_rank0, one_of, write_whole

ADVICE = "give a writable --output_dir"
MOST_IN_LEGEND = 20  # labels; more do not fit beside the picture


class EmbeddingPlot:
    """Draw the pixel features of labelled images in two dimensions, coloured by label, before and after training.

    Nothing is drawn for images without labels, nor for pixels whose label is below 0. The features before training are
    kept in a file named like ``path`` with the suffix ``.npz``. A resumed run therefore still shows the features from
    before the first epoch.

    Args:
        path: the PNG file to write.
        network: network with a method ``features`` that returns the map ``(B, C, H, W)`` to draw. Example:
            :class:`semicl_monai.networks.ContrastiveNetwork`.
        dataset: lists of samples with ``view1_image`` and, if there is a label, ``view1_label``. Eight lists are used.
        num_per_class: number of pixels to draw for each label.
        method: ``"pca"`` or ``"tsne"``.
        seed: seed for choosing the pixels.

    Raises:
        InputError: When ``method`` is unknown.
    """

    def __init__(
        self,
        path: str | Path,
        network: nn.Module,
        dataset: Iterable[Any],
        num_per_class: int = 200,
        method: str = "pca",
        seed: int = 0,
    ) -> None:
        one_of(method, ("pca", "tsne"), "embedding")
        self.path, self.network, self.dataset = Path(path), network, dataset
        self.num_per_class, self.method, self.seed = num_per_class, method, seed

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer behind the handler that resumes it, in the first process only."""
        if is_not_rank0():
            return
        engine.add_event_handler(Events.STARTED, self.before)
        engine.add_event_handler(Events.COMPLETED, self.after)

    def before(self, engine: Engine) -> None:
        """Choose the pixels and keep their features, unless a resumed run has them already."""
        kept = self.path.with_suffix(".npz")
        if engine.state.epoch > 0 and kept.is_file():
            return
        batch = self._batch()
        if batch is None:
            kept.unlink(missing_ok=True)
            return
        images, labels = batch
        pixels = self._choose(labels.flatten())
        content = BytesIO()
        np.savez(
            content,
            images=images,
            pixels=pixels,
            labels=labels.flatten()[pixels],
            before=self._features(images, pixels),
        )
        write_whole(kept, content.getbuffer(), ADVICE)

    def after(self, engine: Engine) -> None:
        """Write the picture."""
        kept = self.path.with_suffix(".npz")
        if not kept.is_file():
            return
        with np.load(kept) as data:
            features = {"before": data["before"], "after": self._features(data["images"], data["pixels"])}
            picture = BytesIO()
            self._figure(features, data["labels"]).savefig(picture, dpi=120, format="png")
        write_whole(self.path, picture.getbuffer(), ADVICE)

    def _batch(self) -> tuple[np.ndarray, np.ndarray] | None:
        samples = [s for i, drawn in zip(range(8), self.dataset, strict=False) for s in drawn]
        if not samples or "view1_label" not in samples[0]:
            return None
        image, label = (np.stack([np.asarray(s[f"view1_{k}"]) for s in samples]) for k in ("image", "label"))
        return (image, label.astype(int)) if (label >= 0).any() else None

    def _choose(self, labels: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        of_class = [np.flatnonzero(labels == c) for c in np.unique(labels) if c >= 0]
        return np.concatenate([rng.permutation(i)[: self.num_per_class] for i in of_class])

    @torch.no_grad()
    def _features(self, images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        device = next(self.network.parameters()).device
        with eval_mode(self.network):
            maps = self.network.features(torch.as_tensor(images, device=device))  # type: ignore[operator]
        maps = F.interpolate(maps.float(), size=images.shape[2:], mode="nearest-exact").movedim(1, -1).flatten(0, -2)
        return maps[torch.as_tensor(pixels, device=device)].cpu().numpy()

    def _figure(self, features: dict[str, np.ndarray], labels: np.ndarray) -> Figure:
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        for axes, (when, values) in zip(figure.subplots(1, 2), features.items(), strict=True):
            perplexity = min(30, len(values) // 4)  # scikit-learn needs a perplexity below the number of points
            embed = PCA(2) if self.method == "pca" else TSNE(2, perplexity=perplexity, random_state=self.seed)
            points = embed.fit_transform(values)
            for label in np.unique(labels):
                axes.scatter(*points[labels == label].T, s=6, label=f"label {label}")
            axes.set(title=f"{when} training", xticks=[], yticks=[])
        if len(np.unique(labels)) <= MOST_IN_LEGEND:
            axes.legend()
        figure.suptitle(f"Pixel features of labelled training images ({self.method.upper()})")
        return figure
