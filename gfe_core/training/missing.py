"""Warnings about samples without effect or energy, which are counted by their cause."""

import warnings

import torch
from torch import Tensor, nn

_REMEDY = (
    "If NaN means unobserved, pass `encoder=functools.partial(gfe.encode_observed, loss=...)`; "
    "otherwise leave these samples out: `x[x.isfinite().flatten(1).all(1)]`."
)
_REMEDY_OF_INFINITE = (
    "Leave these samples out, `x[~x.isinf().flatten(1).any(1)]`, or rescale what is too large for "
    "the float type. Write NaN for unknown values."
)
_REMEDY_OF_DIVERGENCE = (
    "If the energies rise before, the training diverges: start again with new weights and a lower "
    "learning rate. Weights of float16 overflow and underflow early: `decoder.float()`."
)
_REMEDY_OF_WEIGHTS = "Look for NaN and infinity in the decoder's weights and in the loss."


class Untaught:
    """Count the samples of a training from which nothing was learned; warn once of each cause.

    Args:
        x: all samples, or None if they are not known.
    """

    def __init__(self, x: Tensor | None) -> None:
        self._x = x
        self._warned_of: set[str] = set()
        self._reads_gaps = False
        nowhere = [] if x is None else _never_observed(x)
        if nowhere:
            named = ", ".join(map(str, nowhere[:5])) + (", ..." if len(nowhere) > 5 else "")
            _warn(
                f"{len(nowhere)} of the features are missing (NaN) in every sample, so that "
                f"nothing is learnt about them: {named}. Leave them out, or fill them in."
            )

    def note(self, x: Tensor, taught: Tensor) -> None:
        """Record a batch.

        Args:
            x: samples of the batch.
            taught: mask that is True for samples whose code is not NON_FINITE.
        """
        self._reads_gaps = self._reads_gaps or bool((_incomplete(x) & taught).any())
        if taught.all():
            return
        left = ~taught
        for what, (find, remedy) in _CAUSES.items():
            if find is _incomplete and self._reads_gaps:  # gaps do no harm to this encoder
                continue
            lost = left & find(x)
            left = left & ~lost
            if what in self._warned_of or not lost.any():
                continue
            self._warned_of.add(what)
            known = x if self._x is None else self._x
            n = int(find(known).sum())
            where = " of this batch" if self._x is None else ""
            told = f"{n} of {len(known)} samples{where} have {what} and teach nothing"
            alone = ": no sample is left to learn from" if n == len(known) else ""
            _warn(f"{told}{alone}. {remedy}", stacklevel=6)
        if left.any() and _NO_CODES not in self._warned_of:
            self._warned_of.add(_NO_CODES)
            told = f"{int(left.sum())} of {len(x)} samples of this batch have {_NO_CODES}, which is"
            _warn(f"{told} not due to their features. {_REMEDY_OF_DIVERGENCE}", stacklevel=6)

    def tell_of_weights(self, decoder: nn.Module) -> None:
        """Warn if the last update left weights that are not finite, and no code has shown it."""
        broken = any(not bool(weight.isfinite().all()) for weight in decoder.parameters())
        if broken and _NO_CODES not in self._warned_of:
            _warn(f"The training left weights that are not finite. {_REMEDY_OF_DIVERGENCE}")


def observed_somewhere(x: Tensor) -> Tensor:
    """Return for each sample whether any feature is observed, that is, not NaN."""
    return ~x.flatten(1).isnan().all(1) if x.dim() > 1 else ~x.isnan()


def warn_of_missing_energies(x: Tensor, energy: Tensor, *, by_mask: bool = False) -> None:
    """Warn about samples without a finite energy, and samples of which nothing is observed.

    Args:
        x: samples, NaN where unobserved.
        energy: their energies.
        by_mask: whether these gaps are those of the encoder's mask instead of the data.
    """
    lost = ~energy.isfinite()
    empty = ~observed_somewhere(x) & ~lost
    if empty.any():
        seen = "mask.flatten(1).any(1)" if by_mask else "~x.isnan().flatten(1).all(1)"
        _warn(
            f"{int(empty.sum())} of {len(x)} samples have no observed feature, so that their "
            "energy says nothing about the decoder but would enter means. Leave them out: "
            f"`x[{seen}]`."
        )
    if lost.any():
        reads_gaps = bool((_incomplete(x) & ~lost).any())
        counts = {
            what: int((find(x) & lost).sum())
            for what, (find, _) in _CAUSES.items()
            if not (find is _incomplete and reads_gaps)
        }
        counts[_NO_CODES] = int(lost.sum()) - sum(counts.values())
        remedies = {what: remedy for what, (_, remedy) in _CAUSES.items()}
        remedies[_NO_CODES] = _REMEDY_OF_WEIGHTS
        why = [f"{n} for {what}. {remedies[what]}" for what, n in counts.items() if n]
        kept = "[evaluation.energy.isfinite()].mean()" if energy.isinf().any() else ".nanmean()"
        mean = f"Over the others, the mean is `evaluation.energy{kept}`."
        _warn(f"{int(lost.sum())} of {len(x)} samples have no energy, {' '.join(why)} {mean}")


def _infinite(x: Tensor) -> Tensor:
    return x.flatten(1).isinf().any(1)


def _incomplete(x: Tensor) -> Tensor:
    """Samples whose only fault is a gap."""
    return x.flatten(1).isnan().any(1) & ~_infinite(x)


_CAUSES = {
    "missing features (NaN)": (_incomplete, _REMEDY),
    "infinite features": (_infinite, _REMEDY_OF_INFINITE),
}
"""Why samples are lost: which these are, and what to do."""


_NO_CODES = "codes that are NON_FINITE"
"""Why other samples are lost: the decoder or the loss gives no number for them."""


def _never_observed(x: Tensor) -> list[int]:
    """Return the indices of the features that are NaN in every sample."""
    if not x.is_floating_point() or x.dim() < 2:
        return []
    return torch.where(x.flatten(1).isnan().all(0))[0].tolist()


def _warn(message: str, stacklevel: int = 5) -> None:
    """Warn the caller of `fit` or `evaluate`."""
    warnings.warn(message, UserWarning, stacklevel=stacklevel)
