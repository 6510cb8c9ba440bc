"""Training on several processes: each takes its part of every batch, and all take the same step.

One round on N processes: process r encodes the rows r, r + N, r + 2 N and so on of the batch, whose
codes stay with it; the gradients of the decoder, each a mean over the n_r samples of a process, are
averaged with the weights n_r / sum n_r; every process takes the same optimizer step. That is the
round of one process with the whole batch, up to the rounding of a sum in another order. Training
amplifies rounding, as it does between two machines: after 30 updates in float64 weights differ by
less than 1e-9; after 100 in float32, on images, weights by some hundredths of their size and test
energies by two thousandths.

Gradients are summed by one `all_reduce` before the optimizer steps, and not by
`DistributedDataParallel`: that hooks into the decoder's `forward`, which an encode calls some ten
times for each update, without a backward pass through the weights; and whatever knows a decoder by
its kind would have to unwrap it. The decoders of the kit are small, so that little is lost by not
overlapping the sum with the backward pass.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.data import Batches
from gfe_core.data.contexts import rows_of
from gfe_core.scale.ranks import Rank
from gfe_core.types import Encoder, Encoding, Status


class Asked:
    """Whether this process was asked to stop, by SIGINT or SIGTERM.

    A process that stopped by itself would leave the others waiting for its gradients. It only takes
    note, and `Together` stops all of them before the same batch.
    """

    def __init__(self) -> None:
        self.to_stop = False

    def note(self, *_: Any) -> None:
        """Handle a signal."""
        self.to_stop = True


@contextmanager
def joined(rank: Rank, device: torch.device) -> Iterator[Asked]:
    """Connect the processes for the duration of a block; one alone needs no connection.

    Args:
        rank: which of the processes this one is, as `torchrun` says.
        device: that gradients lie on: gloo connects processors, nccl GPUs.

    Yields:
        Whether this process was asked to stop. One alone is interrupted as ever.
    """
    asked = Asked()
    if rank.n == 1:
        yield asked
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    before = {one: signal.signal(one, asked.note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        dist.destroy_process_group()


class PartOfBatches(Batches):
    """One process's part of every batch: the rows r, r + N, r + 2 N and so on.

    Order and position are those of the whole batches, so that they can be resumed on any number of
    processes. In the last batch of an epoch a process may have no row at all.

    Args:
        whole: the batches that all processes share; each process holds all data.
        rank: which of the processes this one is.

    Example:
        >>> whole = Batches(torch.arange(5.0), size=4, shuffle=False)
        >>> [x.tolist() for x in PartOfBatches(whole, Rank(number=1, n=2))]
        [[1.0, 3.0], []]
    """

    def __init__(self, whole: Batches, rank: Rank) -> None:
        super().__init__(
            whole.x,
            size=whole.size,
            context=whole.context,
            seed=whole.seed,
            shuffle=whole.shuffle,
        )
        self.features = whole.features
        self.image_shape = whole.image_shape
        self.epoch = whole.epoch
        self.index = whole.index
        self.rank = rank

    def __iter__(self) -> Iterator[Any]:
        mine = slice(self.rank.number, None, self.rank.n)
        for batch in super().__iter__():
            if isinstance(batch, Tensor):
                yield batch[mine]
            else:
                x, context = batch
                yield x[mine], rows_of(context, mine)


class Together:
    """An encoder that makes `fit` take the step of all processes.

    It counts the samples that each process has to learn from, and averages gradients by them before
    each step of the optimizer. A process without any such sample takes the step of the others.

    Args:
        find: the encoder of this process's samples; codes stay with it.
        decoder: whose weights are made those of process 0.
        optimizer: of the decoder's weights.
        schedule: of its rate, or None.
        asked: whether this process was asked to stop; all stop where one was.
        updates_per_encode: as `fit` is given it.
    """

    def __init__(
        self,
        find: Encoder,
        decoder: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
        *,
        asked: Asked,
        updates_per_encode: int = 1,
    ) -> None:
        self.find = find
        self.asked = asked
        self.optimizer = optimizer
        self.schedule = schedule
        self.updates_per_encode = updates_per_encode
        self.weights = [w for group in optimizer.param_groups for w in group["params"]]
        self.share = 1.0
        for tensor in decoder.state_dict().values():
            dist.broadcast(tensor.detach(), src=0)
        optimizer.register_step_pre_hook(self._average)

    def __call__(self, decoder: Any, x: Tensor, **given: Any) -> Encoding:
        """Encode this process's samples; then its share in the next steps is known.

        Raises:
            KeyboardInterrupt: on every process, where one was asked to stop.
        """
        found = self.find(decoder, x, **given)
        n = int((found.status != Status.NON_FINITE).sum())
        sums = torch.tensor([n, self.asked.to_stop], dtype=torch.float64, device=x.device)
        dist.all_reduce(sums)
        total, n_asked = sums.tolist()
        if n_asked:
            raise KeyboardInterrupt
        self.share = n / max(total, 1.0)
        if n == 0 and total > 0:
            self._take_part()
        return found

    def _take_part(self) -> None:
        """Take the steps that `fit` leaves out where it has nothing to learn from."""
        for _ in range(self.updates_per_encode):
            for weight in self.weights:
                weight.grad = torch.zeros_like(weight)
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()

    def _average(self, *_: Any) -> None:
        """Replace each gradient by the weighted mean over processes, in one message."""
        each = [
            w.new_zeros(w.numel()) if w.grad is None else w.grad.flatten() for w in self.weights
        ]
        has = torch.tensor([float(w.grad is not None) for w in self.weights])
        # a weight that no sample of this process reaches may have a gradient in another
        flat = torch.cat([*each, has.to(each[0])]) * self.share
        dist.all_reduce(flat)
        *means, known = flat.split([*map(len, each), len(each)])
        for weight, mean, anywhere in zip(self.weights, means, known.tolist(), strict=True):
            weight.grad = mean.view_as(weight).clone() if anywhere else None


def same_everywhere(value: int, what: str, device: torch.device) -> None:
    """Refuse to go on where processes disagree about a number.

    Raises:
        RuntimeError: on every process.
    """
    bounds = torch.tensor([value, -value], device=device)
    dist.all_reduce(bounds, op=dist.ReduceOp.MAX)
    highest, lowest = bounds[0].item(), -bounds[1].item()
    checks.require(
        highest == lowest,
        f"The processes disagree about {what}: from {lowest} to {highest}. Every process must see "
        "the same folder and the same data.",
        RuntimeError,
    )
