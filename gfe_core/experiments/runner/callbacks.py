"""What happens beside the training of a run.

A clock, the best weights, and rehearsal of images met before.
"""

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
    """Count the seconds of training and keep the weights with the best validation energy.

    Seconds are those of the processor, so that what else the machine does and the judging itself do
    not count. Validation samples without any observed feature are left out.
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
        """After every batch; judges at the end of an epoch."""
        now = time.process_time()
        self.seconds += now - self.since
        if len(self.x) and len(report.history.step) % self.n_batches == 0:
            energy = gfe.evaluate(report.decoder, self.x, encoder=self.encoder).energy.mean().item()
            if energy < min(filter(math.isfinite, self.energies), default=math.inf):
                self.weights = deepcopy(dict(self.modules.state_dict()))
            self.energies.append(energy)
        self.skip()

    def skip(self) -> None:
        """Do not count the seconds since the last batch."""
        self.since = time.process_time()

    def restore(self) -> None:
        """Put the best weights back."""
        if self.weights:
            self.modules.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"energies": list(self.energies), "weights": self.weights, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.energies = list(state["energies"])
        self.weights = state["weights"]
        self.seconds = state["seconds"]
        self.skip()


class Rehearsal:
    """After each batch, update the decoder at images met before and the codes found for them then.

    Images are encoded once a pass and learnt from often. Codes that carry a gradient, an
    autoencoder's, are found anew.

    Args:
        encoder: of the run.
        update: one decoder update at (z, x).
        n_updates: after each batch.
        size: images in each update, drawn with replacement.
        memory: batches that are remembered, those of one pass.
        seed: of the draw.
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
        """After every batch."""
        finite = report.encoding.status != Status.NON_FINITE
        taught = finite & observed_somewhere(report.x)
        if taught.any():
            self.met.append((report.x[taught], report.encoding.z.detach()[taught]))
        for _ in range(self.n_updates if self.met else 0):
            x, z = self._draw()
            anew = report.encoding.z.requires_grad
            self.update(self.encoder(report.decoder, x).z if anew else z, x)
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
        """For a checkpoint."""
        return {"met": list(self.met), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.met.clear()
        self.met.extend(state["met"])
        self.generator.set_state(state["generator"])
