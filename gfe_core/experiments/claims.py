"""The claims of the method's sources, each with the verdict that our own results give.

`python -m gfe_core claims`.

A verdict is computed from data/results, never written by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from gfe_core.data import results
from gfe_core.experiments.runner.config import SETS
from gfe_core.experiments.tables.cells import head, row

Results = Mapping[str, Any]
Verdict = tuple[str, str]
"""What became of a claim ("holds", "holds for ...", "does not hold"), and the figures."""

GFE = "Flouris et al. 2024, [arXiv 2412.00864](https://arxiv.org/abs/2412.00864)"
CODE = "README of [k-flouris/gfe](https://github.com/k-flouris/gfe)"
GON = "Bond-Taylor and Willcocks 2021, [arXiv 2007.02798](https://arxiv.org/abs/2007.02798)"
NARROWING = "De Boom et al. 2020, [arXiv 2003.10901](https://arxiv.org/abs/2003.10901)"
OURS = "asked by us"

_FLOW = "flow, flow"
_AE = "autoencoder, encoder"
_REFINED = "autoencoder, encoder_then_flow"


@dataclass(frozen=True)
class Claim:
    """One sentence that a source says or implies, in our words.

    Args:
        text: the claim.
        source: where it stands.
        experiment: name of the result file, "" where the kit has not tried it.
        judge: results -> verdict and figures.
    """

    text: str
    source: str
    experiment: str = ""
    judge: Callable[[Results], Verdict] = lambda found: ("not tried", "")


def _compared(rows: Mapping[str, Mapping[str, Any]], ours: str, theirs: str) -> Verdict:
    """Whether one column lies below another in every row, in some (which), or in none."""
    pairs = {name: (found[ours]["mean"], found[theirs]["mean"]) for name, found in rows.items()}
    figures = "; ".join(
        f"{name}: {our:.4f} against {their:.4f}" for name, (our, their) in pairs.items()
    )
    return _where({name: our < their for name, (our, their) in pairs.items()}), figures


def _where(fits: Mapping[str, bool]) -> str:
    """Whether a claim holds in all cases, in some (which), or in none."""
    some = ", ".join(name for name, fit in fits.items() if fit)
    return "holds" if all(fits.values()) else f"holds for {some}" if some else "does not hold"


def _one_pass(found: Results) -> Verdict:
    once = found["curves"]["flow"][-1]["energy"]
    twelve = found["twelve_passes"]["encoder"]["energy"]
    return "holds" if once < twelve else "does not hold", f"{once:.4f} against {twelve:.4f}"


def _slower(found: Results) -> Verdict:
    flow, rival = (found["curves"][name][-1]["cpu_seconds"] for name in ("flow", "autoencoder"))
    return (
        "holds" if flow > rival else "does not hold",
        f"a pass takes {flow / rival:.1f} times as long",
    )


def _converged(found: Results) -> Verdict:
    """As published: below the autoencoder on the first two sets, above it on the third."""
    rows = {name: found["energy"][name] for name in SETS}
    verdict, figures = _compared(rows, _FLOW, _AE)
    return verdict, f"{figures} (published: lower on the first two, higher on Fashion-MNIST)"


def _tail(found: Results, name: str) -> float:
    energies = [energy for energy in found["curves"][name]["energy"][-50:] if energy is not None]
    return sum(energies) / len(energies)


def _integral(found: Results) -> Verdict:
    names = ("fixed grid", "fixed grid, full adjoint")
    without, full = (_tail(found, name) for name in names)
    seconds = [found["curves"][name]["cpu_seconds"][-1] for name in names]
    figures = (
        f"last 50 batches {without:.4f} without, {full:.4f} with it at "
        f"{seconds[1] / seconds[0]:.1f} times the time"
    )
    return "holds" if without < 1.02 * full else "does not hold", figures


def _unstable(found: Results) -> Verdict:
    rises = {
        name: _rise(found["curves"][name]["energy"])
        for name in ("AMD", "fixed grid", "fixed grid, second order")
    }
    amd, *grids = rises.values()
    lower = [rise > 2 * amd for rise in grids]
    verdict = (
        "holds" if all(lower) else "holds for one of the two" if any(lower) else "does not hold"
    )
    return verdict, "largest rise between batches: " + "; ".join(
        f"{name} {rise:.4f}" for name, rise in rises.items()
    )


def _rise(energies: list[float | None]) -> float:
    """Largest rise after the first tenth; a batch that was lost counts as a nat."""
    known = [1.0 if energy is None else energy for energy in energies[len(energies) // 10 :]]
    return max(after - before for before, after in pairwise(known))


def _planted(found: Results) -> Verdict:
    """Whether the number is found in eight of ten data sets, for each number planted."""
    often = {n: one["within_one_and_met"] / one["of"] >= 0.8 for n, one in found.items()}
    return _where(often), "; ".join(
        f"{n}: {one['within_one_and_met']} of {one['of']} runs" for n, one in found.items()
    )


def _kept(found: Results) -> Verdict:
    anew, kept = (found["planted"][name] for name in ("flow", "flow, codes kept"))
    means = {n: (fmean(kept[n]["open"]), fmean(anew[n]["open"])) for n in anew}
    verdict = "holds" if all(k <= a + 0.5 for k, a in means.values()) else "does not hold"
    return verdict, "; ".join(
        f"{n} planted: {k:.1f} open against {a:.1f}" for n, (k, a) in means.items()
    )


def _doubled(found: Results) -> Verdict:
    told = []
    fits = []
    for data, kinds in found["doubled"].items():
        for kind, rows in kinds.items():
            for n, one in rows.items():
                mean = fmean(one["open"])
                fits.append(abs(mean - int(n)) <= 1)
                told.append(f"{data}, {kind}, {n}: {mean:.1f}")
    verdict = "holds" if all(fits) else f"holds within one in {sum(fits)} of {len(fits)}"
    return (verdict if any(fits) else "does not hold"), "; ".join(told)


def _given_up(found: Results) -> Verdict:
    """Whether codes tell more than half of what those of the reference tell of each factor."""
    figures = []
    fits = {}
    for kind, rows in found["factors"].items():
        told = {
            which: _told(rows[which]["r2"], rows["reference"]["r2"]) for which in ("tight", "loose")
        }
        kept = {
            which: [name for name, share in shares.items() if share > 0.5]
            for which, shares in told.items()
        }
        fits[kind] = kept == {"tight": list(told["tight"]), "loose": ["x", "y", "scale"]}
        for which, shares in told.items():
            listed = ", ".join(
                f"{name.removesuffix(' (share right)')} {share:.2f}"
                for name, share in shares.items()
            )
            figures.append(f"{kind}, {which}: {fmean(rows[which]['open']):.1f} open, {listed}")
    return _where(fits), "; ".join(figures)


def _told(r2: Results, reference: Results) -> dict[str, float]:
    """Share of each factor that is explained, relative to what the reference explains."""
    chance = {name: 1 / 3 if name.startswith("shape") else 0.0 for name in reference}
    whole = {name: one["mean"] - chance[name] for name, one in reference.items()}
    return {
        name: (r2[name]["mean"] - chance[name]) / all_ for name, all_ in whole.items() if all_ > 0.3
    }


CLAIMS = (
    Claim(
        (
            "After a few hundred images, seen once, the flow explains unseen ones better than an "
            "autoencoder."
        ),
        GFE,
        "table1-few",
        lambda found: _compared(found["once"], _FLOW, _AE),
    ),
    Claim(
        "It is not the nonlinear decoder: logistic PCA, trained by the flow, does that too.",
        OURS,
        "table1-few",
        lambda found: _compared(found["once"], "logistic_pca, flow", _AE),
    ),
    Claim(
        (
            "It is not only the single look: with as many passes as help, the flow is still below "
            "the autoencoder."
        ),
        OURS,
        "table1-few",
        lambda found: _compared(found["free"], _FLOW, _AE),
    ),
    Claim(
        "The decoder that the flow trained is better too, not only the code: it lies below the "
        "autoencoder's decoder "
        "whose code the flow has improved.",
        GFE,
        "two-by-two",
        lambda found: _compared(found["sizes"], _FLOW, _REFINED),
    ),
    Claim(
        "The flow improves the codes of a decoder that was trained with an encoder.",
        GFE,
        "two-by-two",
        lambda found: _compared(found["sizes"], _REFINED, _AE),
    ),
    Claim("One pass with the flow equals twelve of the autoencoder.", GFE, "fig1", _one_pass),
    Claim("The flow takes longer for each image.", GFE, "fig1", _slower),
    Claim(
        "Trained to the end, the flow is below the autoencoder.",
        GFE,
        "table1-converged",
        _converged,
    ),
    Claim("Dropping the adjoint's integral costs next to nothing.", GFE, "fig2", _integral),
    Claim(
        "Fixed grids become unstable while the decoder learns; AMD does not.",
        CODE,
        "fig2",
        _unstable,
    ),
    Claim(
        "Pixels that are hidden are drawn better by the flow through those that are seen than "
        "by an autoencoder that "
        "was trained with gaps of just this kind.",
        OURS,
        "missing",
        lambda found: _compared(
            found["energy"], "flow, with prior", "autoencoder trained with gaps"
        ),
    ),
    Claim(
        (
            "From spectra with gaps and noise, codes of the flow draw the clean flux better than "
            "an autoencoder's."
        ),
        OURS,
        "spectra",
        lambda found: _compared(found["energy"], "flow", "autoencoder"),
    ),
    Claim(
        (
            "The one step from the origin must be differentiated through: detached, the error is "
            "larger."
        ),
        GON,
        "gon",
        lambda found: _compared(found["error"], "GON", "GON, detached"),
    ),
    Claim(
        "One step reaches a lower error than an autoencoder with as many weights.",
        GON,
        "gon",
        lambda found: _compared(found["error"], "GON", "autoencoder, equal parameters"),
    ),
    Claim(
        "One step reaches a lower error than an autoencoder whose decoder is as wide.",
        OURS,
        "gon",
        lambda found: _compared(found["error"], "GON", "autoencoder, equal width"),
    ),
    Claim(
        (
            "The flow to rest needs no gradient through it: trained detached for as many updates "
            "it is below the one step."
        ),
        OURS,
        "gon",
        lambda found: _compared(found["error"], "flow-trained, flow", "GON"),
    ),
    Claim(
        (
            "Gates find the number of latents that a given error needs: planted ones within one, "
            "under the threshold."
        ),
        NARROWING,
        "narrowing",
        lambda found: _planted(found["planted"]["VAE"]),
    ),
    Claim(
        "Without an encoder they find it too.",
        OURS,
        "narrowing",
        lambda found: _planted(found["planted"]["flow"]),
    ),
    Claim(
        (
            "Codes of a flow need not be found anew at other gates: the same codes lead to as few "
            "open ones."
        ),
        OURS,
        "narrowing",
        _kept,
    ),
    Claim(
        (
            "With twice the latents and the error of a reference as threshold, as many stay open "
            "as the reference has."
        ),
        NARROWING,
        "narrowing",
        _doubled,
    ),
    Claim(
        (
            "On shapes a tight threshold keeps shape, place and rotation, a loose one place and "
            "size alone."
        ),
        NARROWING,
        "narrowing",
        _given_up,
    ),
)

_HEAD = """# Claims and verdicts

What the sources of the kit say, tried with our own experiments. Verdicts and figures are computed from the result files
in `data/results`; the page is written by `python -m gfe_core claims`, and a test keeps it so. Figures are mean test
energies, ours first: nats per pixel, and squared errors of an image for steps from the origin; seeds and spreads are in
the files. "Not tried" means that the kit has no experiment for it yet, "no result yet" that its command has not been
run for this page.

"""


PAGE = Path(__file__).parents[2] / "notebooks" / "CLAIMS.md"


def page() -> str:
    """The text of notebooks/CLAIMS.md."""
    lines = head("claim", "source", "verdict", "figures", "command")
    for claim in CLAIMS:
        verdict = "not tried"
        figures = ""
        command = ""
        if claim.experiment:
            command = f"`python -m gfe_core reproduce {claim.experiment}`"
            there = results.path(claim.experiment).exists()
            verdict, figures = (
                claim.judge(results.load(claim.experiment)) if there else ("no result yet", "")
            )
        lines.append(row(claim.text, claim.source, verdict, figures, command))
    return _HEAD + "\n".join(lines) + "\n"
