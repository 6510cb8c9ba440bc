"""Callbacks of a run: a clock that keeps the best weights, and rehearsal of earlier images."""

import math
import time
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.training import Report
from gfe_core.training.missing import observed_somewhere
from gfe_core.types import Encoder, Status


class Watch:
    """Count the seconds of training and keep the weights with the lowest validation energy.

    Seconds are processor time, so that other work of the machine does not count; nor does the
    judging itself. Validation samples without any observed feature are left out.
    """

    def __init__(self, modules: nn.ModuleList, encoder: Encoder, x: Tensor, n_batches: int) -> None:
        self.modules = modules
        self.encoder = encoder
        self.x = x[observed_somewhere(x)]
        self.n_batches = n_batches
        self.energies: list[float] = []
        self.weights: dict[str, Any] = {}
        self.seconds = 0.0
        self.since = time.process_time()

    def __call__(self, report: Report) -> None:
        """Count the time of a batch; at the end of an epoch, judge the weights."""
        now = time.process_time()
        self.seconds += now - self.since
        if len(self.x) and len(report.history.step) % self.n_batches == 0:
            energy = gfe.evaluate(report.decoder, self.x, encoder=self.encoder).energy.mean().item()
            if energy < min(filter(math.isfinite, self.energies), default=math.inf):
                self.weights = deepcopy(dict(self.modules.state_dict()))
            self.energies.append(energy)
        self.skip()

    def skip(self) -> None:
        """Leave out the seconds since the last batch."""
        self.since = time.process_time()

    def restore(self) -> None:
        """Put the best weights back."""
        if self.weights:
            self.modules.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"energies": list(self.energies), "weights": self.weights, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.energies = list(state["energies"])
        self.weights = state["weights"]
        self.seconds = state["seconds"]
        self.skip()


class Rehearsal:
    """Update the decoder after each batch at earlier images, with the codes found for them then.

    Each image is encoded once in a pass, but learnt from several times. Codes that carry a
    gradient, those of an autoencoder, are found again.

    Args:
        encoder: encoder of the run.
        update: function that makes one decoder update at (z, x).
        n_updates: number of updates after each batch.
        size: number of images in each update, drawn with replacement.
        memory: number of batches that are remembered: those of one pass.
        seed: seed of the draw.
    """

    def __init__(
        self,
        encoder: Encoder,
        update: Callable[[Tensor, Tensor], None],
        *,
        n_updates: int,
        size: int,
        memory: int,
        seed: int,
    ) -> None:
        self.encoder = encoder
        self.update = update
        self.n_updates = n_updates
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)
        self.met: deque[tuple[Tensor, Tensor]] = deque(maxlen=memory)

    def __call__(self, report: Report) -> None:
        """Remember the batch, and make the updates."""
        finite = report.encoding.status != Status.NON_FINITE
        taught = finite & observed_somewhere(report.x)
        if taught.any():
            self.met.append((report.x[taught], report.encoding.z.detach()[taught]))
        for _ in range(self.n_updates if self.met else 0):
            x, z = self._draw()
            again = report.encoding.z.requires_grad
            self.update(self.encoder(report.decoder, x).z if again else z, x)
        report.history.step[-1] += self.n_updates

    def _draw(self) -> tuple[Tensor, Tensor]:
        batches = torch.randint(len(self.met), (self.size,), generator=self.generator).tolist()
        rows = torch.rand(self.size, generator=self.generator).tolist()
        drawn_x = []
        drawn_z = []
        for batch, row in zip(batches, rows, strict=True):
            x, z = self.met[batch]
            drawn_x.append(x[int(row * len(x))])
            drawn_z.append(z[int(row * len(x))])
        return torch.stack(drawn_x), torch.stack(drawn_z)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"met": list(self.met), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.met.clear()
        self.met.extend(state["met"])
        self.generator.set_state(state["generator"])
