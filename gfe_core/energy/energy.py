"""The energy of a code.

The energy measures how badly the decoder explains a sample from a code.

`Energy` is written once: its value, its gradient and its curvature are derivatives of one
expression, so a line search and its flow can never use different losses. It holds a batch, but
samples do not affect each other.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfe_core import checks
from gfe_core.data.contexts import lengthened, rows_of, tensors_of
from gfe_core.data.samples import codes_for, context_for, samples_for
from gfe_core.decoders.graph import graphs
from gfe_core.energy.calls import Calls, WholeLoss
from gfe_core.energy.curvature import Curvature
from gfe_core.energy.padding import padded, repeated, row_multiple
from gfe_core.types import AnyLoss, Codes, Context, Data, Decoder, Mask, Penalty, PerSample


class Point:
    """A decoded code: its energy is known, and its gradient needs no second decoding.

    Args:
        value: energy, (batch,).
        pull: function from the requested samples (a mask, or None for all) to their gradient
            (batch, latent), in which other rows are undefined. It is called once.
    """

    def __init__(self, value: PerSample, pull: Callable[[Tensor | None], Tensor]) -> None:
        self.value = value
        self._pull = pull
        self._grad: Tensor | None = None

    def grad(self, where: Tensor | None = None) -> Codes:
        """Return the gradient of E in z, of all samples or at least of those in `where`."""
        if self._grad is None:
            self._grad = self._pull(where)
        return self._grad


class Energy(Curvature):
    """E(z) = loss(decoder(z), x) + penalty(z), one number for each sample.

    The outputs of decoder, loss and penalty are checked in every evaluation. A decoder with a
    `row_multiple`, as those of the kit have, is called with padded rows: with an `MLPDecoder` or a
    `LinearDecoder`, energies of a sample are then equal to the bit in every batch. With other
    decoders they are equal up to rounding.

    Each row must be decoded on its own, and always in the same way. To check this, the first
    gradient of an energy decodes random codes, one for each sample, and then a few of them
    separately. Decoders that consist of plain modules of the kit and of torch alone, without hooks
    and not subclassed, are not tested (`decoders.plain.is_plain`).

    Args:
        decoder: decoder that maps (batch, latent) to (batch, *data); called as decoder(z, context)
            if a context is given and the decoder takes one.
        x: data; NaN is allowed only where `mask` is False.
        loss: loss, a function (output, x) -> (batch,), or None for `Bernoulli()`.
        mask: True where x is observed; None means everywhere.
        penalty: function z -> (batch,), minus the log of a prior on codes; None means none.
        context: tensor or dict of tensors with one row for each sample; also passed to a loss or a
            penalty that has a parameter `context`.
        bounds: lower and upper bounds (latent,) of codes. At a bound, gradients have no component
            that points out of the box; where they are 0, the code is a minimum in the box.

    Raises:
        TypeError, ValueError: decoder, loss or penalty cannot be called in this way, or return an
            invalid value; mask or context do not fit x; codes are not one for each sample. The
            message says what to write.
    """

    def __init__(
        self,
        decoder: Decoder,
        x: Data,
        loss: AnyLoss | None = None,
        *,
        mask: Mask | None = None,
        penalty: Penalty | None = None,
        context: Context | None = None,
        bounds: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        x = samples_for(decoder, x)
        checks.observed(x, mask)
        context = context_for(context, x)
        self.decoder = decoder
        self.bounds = bounds
        self.loss = loss if isinstance(loss, WholeLoss) else WholeLoss(loss)
        self.penalty = penalty
        self.n = self._n_bound = len(x)
        self._calls = Calls(decoder, self.loss, penalty, context)
        self._multiple = row_multiple(decoder)
        self._x = self._repeated(x if mask is None else torch.where(mask, x, 0.0))
        self._mask = None if mask is None else self._repeated(mask)
        self._context = context
        self._seen = False

    def at(self, z: Codes) -> Point:
        """Decode codes once, so that value and gradient share the work."""
        with graphs():
            leaf = self._padded(self._codes(z).detach().clone()).requires_grad_()
            energy = self._per_sample(leaf)

        def pull(where: Tensor | None) -> Tensor:
            """Return the gradient; other samples take part with weight zero.

            The gradient is that of one sum instead of a weighted vector: for the latter torch would
            first import sympy, which takes half a second.
            """
            with graphs():
                rows = energy if where is None else energy * self._padded(where).to(energy.dtype)
                total = rows.sum()
            return self._inward(z, torch.autograd.grad(total, leaf)[0][: self.n])

        return Point(energy.detach()[: self.n], pull)

    def floor(self) -> PerSample:
        """Return the lowest energy that any decoder can reach; 0 if the loss has no `floor`."""
        mask = None if self._mask is None else self._mask[: self.n]
        return self.loss.floor(self._x[: self.n], mask)

    def inside(self, z: Codes) -> Codes:
        """Move codes into the box of the bounds, to its nearest point."""
        return z if self.bounds is None else z.clamp(*self.bounds)

    def _inward(self, z: Codes, grad: Codes) -> Codes:
        """Remove the components of a gradient that push out of the box."""
        if self.bounds is None:
            return grad
        lower, upper = self.bounds
        outward = ((z <= lower) & (grad > 0)) | ((z >= upper) & (grad < 0))
        return torch.where(outward, 0.0, grad)

    def value(self, z: Codes) -> PerSample:
        """Return the energy of each code."""
        with torch.no_grad():
            return self._per_sample(self._padded(self._codes(z).clone()))[: self.n]

    def value_and_grad(self, z: Codes) -> tuple[Tensor, Tensor]:
        """Return the energy (batch,) and its gradient in z (batch, latent).

        The decoder's weights receive no gradient.
        """
        point = self.at(z)
        return point.value, point.grad()

    def per_sample(self, z: Codes) -> PerSample:
        """Return the energy of each code with a graph to all its inputs, without padding.

        Training differentiates this value. It need not be exact to the bit, so no rows are added.
        """
        z = self._codes(z)
        bare = copy(self)
        bare._multiple = 1
        bare._x = self._x[: self.n]
        bare._mask = None if self._mask is None else self._mask[: self.n]
        energy = bare._per_sample(z if self._seen or z.requires_grad else z.clone())
        self._seen = bare._seen
        return energy

    def terms(self, z: Codes) -> list[PerSample]:
        """Return the loss of each code and, if there is one, its penalty."""
        with torch.no_grad():
            z = self._padded(self._codes(z).clone())
            misfit = self._misfit(self._output(z))
            terms = [misfit] if self.penalty is None else [misfit, self._penalty(z)]
        return [term[: self.n] for term in terms]

    def with_data(self, x: Data, context: Context | None = None) -> "Energy":
        """Return the same energy for other data, and for another context if one is given."""
        other = copy(self)
        mask = self._mask
        other._x = self._repeated(x if mask is None else torch.where(mask[: self.n], x, 0.0))
        other._context = self._context if context is None else context
        return other

    @property
    def data(self) -> Data:
        """The data, 0 where unobserved."""
        return self._x[: self.n]

    @property
    def held(self) -> list[Tensor]:
        """The tensors of the samples: data, mask and context."""
        mask = [] if self._mask is None else [self._mask]
        return [self._x, *mask, *tensors_of(self._context)]

    @property
    def context(self) -> Context | None:
        """Additional known values of each sample."""
        return self._context

    def rows(self, keep: Tensor | np.ndarray | slice | Sequence[int]) -> "Energy":
        """Return the same energy for a selection of samples (a mask, row indices or a slice)."""
        if not isinstance(keep, Tensor) or keep.dim() == 0:
            keep = self._numbers(keep)
        other = copy(self)
        other._x = self._repeated(self._x[: self.n][keep])
        other._mask = None if self._mask is None else self._repeated(self._mask[: self.n][keep])
        other._context = rows_of(self._context, keep)
        other.n = int(keep.sum()) if keep.dtype == torch.bool else len(keep)
        return other

    def _output(self, z: Tensor) -> Tensor:
        """Return the raw output of padded codes."""
        n = self.n
        with self._rows_explained("decoder", z, lambda: self._calls.output(z[:n], self._context)):
            output = self._calls.output(z, self._padded_context(z))
        if self._is_first(z):
            self._calls.check_output_depends(z, output)
        return output

    def _misfit(self, output: Tensor) -> Tensor:
        """Return the loss of padded raw outputs."""

        def alone() -> Tensor:
            n = self.n
            mask = None if self._mask is None else self._mask[:n]
            return self._calls.misfit(output[:n], self._x[:n], mask, self._context)

        with self._rows_explained("loss", output, alone):
            return self._calls.misfit(output, self._x, self._mask, self._padded_context(output))

    def _penalty(self, z: Tensor) -> Tensor:
        """Return the penalty of padded codes."""
        n = self.n
        with self._rows_explained("penalty", z, lambda: self._calls.penalty(z[:n], self._context)):
            return self._calls.penalty(z, self._padded_context(z))

    def _per_sample(self, z: Tensor) -> Tensor:
        """Return the energy of padded codes, the one expression that all derivatives use."""
        output = self._output(z)
        is_users = self._is_first(z) and not self.loss.is_kit
        before = self._x.clone() if is_users else self._x
        energy = self._misfit(output)
        penalty = None if self.penalty is None else self._penalty(z)
        if is_users:
            self._calls.check_data_left_alone(before, self._x)
        if self._is_first(z):
            context = self._padded_context(z)
            self._calls.check_rows_alone(z, context)
            self._calls.check_misfit_depends(z, energy)
            self._calls.check_samples_apart(z, output, self._x, self._mask, context)
            self._seen = True
        return energy if penalty is None else energy + penalty

    def _is_first(self, z: Tensor) -> bool:
        """Whether these are the first codes whose gradient is requested."""
        return not self._seen and z.requires_grad and z.is_leaf

    def _padded(self, rows: Tensor) -> Tensor:
        return padded(rows, self._multiple)

    def _numbers(self, keep: Any) -> Tensor:
        """Return the row indices of a selection that is no tensor."""
        try:
            return torch.arange(self.n, device=self._x.device)[keep].reshape(-1)
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            wanted = (
                f"`keep` must select some of the {self.n} samples: a mask, row numbers or a slice"
            )
            raise TypeError(f"{wanted}, got {checks.described(keep)}.") from error

    def _padded_codes(self, z: Codes) -> Tensor:
        return self._padded(self._codes(z))

    def _codes(self, z: Any) -> Codes:
        """Return codes; refuse other rows than the samples, which padding would add."""
        if not isinstance(z, Tensor) or z.dtype != self._x.dtype:
            z = codes_for(self.decoder, z)
        if z.shape != (self.n, self.decoder.latent_dim):
            raise ValueError(
                f"`z` must hold one code for each sample, ({self.n}, {self.decoder.latent_dim}), "
                f"got {tuple(z.shape)}. For some of the samples write `energy.rows(keep)`."
            )
        return z

    def _repeated(self, rows: Tensor) -> Tensor:
        return repeated(rows, self._multiple)

    def _padded_context(self, like: Tensor) -> Context | None:
        return self._context if len(like) == self.n else lengthened(self._context, len(like))

    @contextmanager
    def _rows_explained(
        self, name: str, rows: Tensor, alone: Callable[[], Tensor]
    ) -> Iterator[None]:
        """Explain an error for padded rows, or for a part of the samples.

        A user's function may hold the rows of all samples. Its other errors are those for the
        samples alone, because the user did not pass the padding rows.

        Args:
            name: name of the user's argument that is called.
            rows: rows of the call, with padding.
            alone: the same call, for the samples without padding.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (TypeError, ValueError, RuntimeError) as error:
            own = error if len(rows) == self.n else _error_of(alone)
            if own is None:
                raise ValueError(
                    f"`{name}` must accept any number of rows. It works for the {self.n} samples, "
                    f"but this decoder is called with a multiple of {self._multiple} rows. Pass "
                    "values with one row for each sample as `context=`: each row then stays with "
                    f"its sample. ({str(error).splitlines()[0]})"
                ) from error
            if not isinstance(own, RuntimeError) or self.n == self._n_bound:
                raise own from own.__cause__
            raise RuntimeError(
                f"`decoder`, `loss` or `penalty` failed for {self.n} samples after it was called "
                f"for {self._n_bound}: {own} Finished samples leave the batch. Values with one "
                "row for each sample must leave with them: pass these values as `context=`."
            ) from error


def _error_of(call: Callable[[], object]) -> Exception | None:
    """Return the error that a call raises, or None."""
    try:
        call()
    except Exception as error:
        return error
    return None
