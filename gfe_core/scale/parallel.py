"""Training on several processes: each takes its part of every batch, and all take the same step.

One round on N processes: process r encodes the rows r, r + N, r + 2 N and so on of the batch and
keeps their codes. The gradients of the decoder, each a mean over the n_r samples of a process, are
averaged with the weights n_r / sum n_r. Every process then takes the same optimizer step. The
result equals that of one process with the whole batch, up to the rounding of a sum in another
order. Training amplifies rounding, as it does between two machines. After 30 updates in float64
weights differ by less than 1e-9; after 100 updates in float32, on images, weights differ by some
hundredths of their size and test energies by two thousandths.

Gradients are summed by one `all_reduce` before the optimizer steps, and not by
`DistributedDataParallel`. The latter hooks into the decoder's `forward`, which an encode calls
about ten times for each update without a backward pass through the weights. In addition, code that
checks the type of a decoder would have to unwrap it. The kit's decoders are small, so that
overlapping the sum with the backward pass would gain little.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gfe_core import checks
from gfe_core.arguments import in_own_words
from gfe_core.data import Batches
from gfe_core.data.contexts import rows_of
from gfe_core.scale.ranks import Rank
from gfe_core.training.missing import observed_somewhere
from gfe_core.types import Encoder, Encoding, Status

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """A record of whether SIGINT or SIGTERM asked this process to stop.

    A process that stopped alone would leave the others waiting for its gradients. The signal is
    therefore only recorded, and `Together` stops all processes before the same batch.
    """

    def __init__(self) -> None:
        self.to_stop = False

    def note(self, *_: Any) -> None:
        """Record a signal."""
        self.to_stop = True


@contextmanager
def joined(rank: Rank, device: torch.device) -> Iterator[Asked]:
    """Connect the processes for the duration of a block; a single process needs no connection.

    Args:
        rank: rank of this process, as `torchrun` gives it.
        device: device of the gradients; gloo connects CPUs, nccl GPUs.

    Yields:
        The record of whether this process was asked to stop. For a single process, interrupts work
        as usual.
    """
    asked = Asked()
    if rank.n == 1:
        yield asked
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    before = {number: signal.signal(number, asked.note) for number in _STOPS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        dist.destroy_process_group()


class PartOfBatches(Batches):
    """One process's part of every batch: the rows r, r + N, r + 2 N and so on.

    Order and position are those of the whole batches, so that training can be resumed on any number
    of processes. In the last batch of an epoch a process may have no row at all.

    Args:
        whole: batches that all processes share; each process holds all data.
        rank: rank of this process.

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
    """An encoder that makes `fit` take the same step on all processes.

    It counts the samples that each process learns from, and weights gradients by these counts in
    the average before each step of the optimizer. A process without any such sample takes the step
    of the others.

    Args:
        find: encoder of this process's samples, which keeps their codes.
        decoder: decoder whose weights are set to those of process 0.
        optimizer: optimizer of the decoder's weights.
        schedule: schedule of the learning rate, or None.
        asked: record of whether this process was asked to stop; if one was, all stop.
        updates_per_encode: number of updates for each batch, as passed to `fit`.
    """

    @in_own_words
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
        """Encode this process's samples, and compute its weight in the next steps.

        Raises:
            KeyboardInterrupt: on every process, if one was asked to stop.
        """
        encoding = self.find(decoder, x, **given)
        finite = encoding.status != Status.NON_FINITE
        n = int((finite & observed_somewhere(x)).sum())
        sums = torch.tensor([n, self.asked.to_stop], dtype=torch.float64, device=x.device)
        dist.all_reduce(sums)
        total, n_asked = sums.tolist()
        if n_asked:
            raise KeyboardInterrupt
        self.share = n / max(total, 1.0)
        if n == 0 and total > 0:
            self._take_part()
        return encoding

    def _take_part(self) -> None:
        """Take the steps that `fit` skips if this process has nothing to learn from."""
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
    """Refuse to continue if the processes have different values of a number.

    Raises:
        RuntimeError: on every process, if the values differ.
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
