"""The claims of the method's sources, each with the verdict that our own results give.

`python -m gfe_core claims` writes them to notebooks/CLAIMS.md. A verdict is computed from
data/results by one of the rules in this module, and never written by hand.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gfe_core.data import results
from gfe_core.experiments.runner.config import SETS
from gfe_core.experiments.tables import fig2
from gfe_core.experiments.tables.cells import head, row
from gfe_core.methods.gon import Recent

Results = Mapping[str, Any]
Seeds = Mapping[str, float]
"""Map from a seed to a number."""
Verdict = tuple[str, str]
"""Verdict on a claim, and the figures behind it."""
Pairs = Mapping[str, tuple[Seeds, Seeds]]
"""Map from the name of a case to the numbers that should be lower, and those to compare with."""

GFE = "Flouris et al. 2024, [arXiv 2412.00864](https://arxiv.org/abs/2412.00864)"
CODE = "README of [k-flouris/gfe](https://github.com/k-flouris/gfe)"
GON = "Bond-Taylor and Willcocks 2021, [arXiv 2007.02798](https://arxiv.org/abs/2007.02798)"
NARROWING = "De Boom et al. 2020, [arXiv 2003.10901](https://arxiv.org/abs/2003.10901)"
OURS = "asked by us"

HOLDS, FAILS, WITHIN = "holds", "does not hold", "within the spread"
OPEN = "no verdict"
MIN_SEEDS = 3
MORE_SPREAD = {3: 4.4, 5: 2.5}
"""Ratio of two standard deviations that counts, by the number of seeds of each.

Chance exceeds it in 5 of 100 comparisons: the root of the 95th percentile of F(n - 1, n - 1).
"""
_PROTOCOLS = {"single": "a single look", "once": "rehearsal", "free": "several passes"}

_FLOW = "flow, flow"
_AE = "autoencoder, encoder"
_REFINED = "autoencoder, encoder_then_flow"
_FOLLOWED = "autoencoder, flow"
"""The flow from the origin, on the decoder of an autoencoder."""


@dataclass(frozen=True)
class Claim:
    """One sentence that a source says or implies, in our words.

    Args:
        text: sentence of the claim.
        source: source of the claim.
        experiment: name of the result file.
        judge: function from results to verdict and figures.
    """

    text: str
    source: str
    experiment: str
    judge: Callable[[Results], Verdict]


def below(ours: Seeds, theirs: Seeds) -> str:
    """Return whether one method lies below another, by paired differences over seeds.

    The mean difference must exceed its own standard deviation, over at least three seeds that both
    methods have.
    """
    differences = _differences(ours, theirs)
    if len(differences) < MIN_SEEDS:
        return OPEN
    mean = fmean(differences)
    if abs(mean) <= statistics.stdev(differences):
        return WITHIN
    return HOLDS if mean < 0 else FAILS


def _differences(ours: Seeds, theirs: Seeds) -> list[float]:
    """Return ours - theirs, seed by seed."""
    return [ours[seed] - theirs[seed] for seed in ours if seed in theirs]


def combined(verdicts: Mapping[str, str]) -> str:
    """Return one verdict if all cases agree, or each verdict with its cases."""
    kinds = dict.fromkeys(verdicts.values())
    if len(kinds) == 1:
        return next(iter(kinds))
    ordered = [kind for kind in (HOLDS, WITHIN, FAILS, OPEN) if kind in kinds]
    joined = {HOLDS: " for ", FAILS: " for ", WITHIN: ": ", OPEN: ": "}
    return "; ".join(
        f"{kind}{joined[kind]}{', '.join(case for case, of in verdicts.items() if of == kind)}"
        for kind in ordered
    )


def _judged(pairs: Pairs, digits: int = 4) -> Verdict:
    """Return whether the first numbers lie below the second, in each case."""
    figures = []
    for case, (ours, theirs) in pairs.items():
        differences = _differences(ours, theirs)
        named = f"{case}: " if case else ""
        beyond = f" ± {statistics.stdev(differences):.{digits}f}" if len(differences) > 1 else ""
        figures.append(
            f"{named}{fmean(ours.values()):.{digits}f} against {fmean(theirs.values()):.{digits}f} "
            f"({fmean(differences):+.{digits}f}{beyond})"
        )
    verdicts = {case: below(ours, theirs) for case, (ours, theirs) in pairs.items()}
    return combined(verdicts), "; ".join(figures)


def _compared(rows: Mapping[str, Any], ours: str, theirs: str, digits: int = 4) -> Verdict:
    """Return whether one column of a table lies below another, in each row."""
    pairs = {
        case: (columns[ours]["by_seed"], columns[theirs]["by_seed"])
        for case, columns in rows.items()
    }
    return _judged(pairs, digits)


def _one_pass(content: Results) -> Verdict:
    """Return whether one pass is as good: not above twelve passes by more than the spread."""
    once, twelve = content["curves"]["flow"][-1]["energy"], content["twelve_passes"]["energy"]
    verdict, figures = _judged({"": (once["by_seed"], twelve["by_seed"])})
    return _no_worse(verdict), figures


def _slower(content: Results) -> Verdict:
    flow, rival = (content["seconds"][name]["by_seed"] for name in ("flow", "autoencoder"))
    ratios = {seed: flow[seed] / rival[seed] for seed in flow}
    verdict = below(dict.fromkeys(ratios, 1.0), ratios)
    spread = statistics.stdev(ratios.values())
    return verdict, f"a pass takes {fmean(ratios.values()):.1f} ± {spread:.1f} times as long"


def _converged(content: Results) -> Verdict:
    """Return whether the flow is below the autoencoder on each set; published: on the first two."""
    rows = {name: content["energy"][name] for name in SETS}
    verdict, figures = _compared(rows, _FLOW, _AE)
    return verdict, f"{figures} (published: lower on the first two, higher on Fashion-MNIST)"


def _steady(content: Results) -> Verdict:
    """Return whether the flow's standard deviation over seeds is clearly the smaller one."""
    verdicts = {}
    figures = []
    for protocol, words in _PROTOCOLS.items():
        for n, columns in content[protocol].items():
            ours, theirs = columns[_FLOW], columns[_AE]
            case = f"{n} ({words})"
            limit = MORE_SPREAD.get(len(ours["by_seed"]), math.inf)
            near = 1 / limit <= ours["sd"] / theirs["sd"] <= limit
            verdicts[case] = WITHIN if near else HOLDS if ours["sd"] < theirs["sd"] else FAILS
            figures.append(
                f"{case}: standard deviation {ours['sd']:.4f} against {theirs['sd']:.4f}"
            )
    return combined(verdicts), "; ".join(figures)


def _per_image(content: Results) -> Verdict:
    """Return whether dropping the integral is as good: not above it by more than the spread."""
    integral = content["integral"]
    with_it, dropped = integral["with it"], integral["dropped, as many images"]
    verdict, figures = _judged({"": (dropped["by_seed"], with_it["by_seed"])})
    ratio = integral["times the seconds"]["mean"]
    more = f"after as many images; the integral takes {ratio:.1f} times the seconds"
    return _no_worse(verdict), f"{figures}, {more}"


def _per_second(content: Results) -> Verdict:
    integral = content["integral"]
    dropped, with_it = integral["dropped, as many seconds"], integral["with it"]
    verdict, figures = _judged({"": (dropped["by_seed"], with_it["by_seed"])})
    return verdict, f"{figures}, after as many seconds"


def _no_worse(verdict: str) -> str:
    """Turn a verdict on "below" into a verdict on "as good as"."""
    return verdict if verdict in (FAILS, OPEN) else HOLDS


def _unstable(content: Results) -> Verdict:
    """Return whether the energy climbs higher above its minimum with a grid than with AMD."""
    pairs = {
        f"{name}, {updates} updates": (
            content[updates]["AMD"]["climb"]["by_seed"],
            content[updates][name]["climb"]["by_seed"],
        )
        for updates in fig2.RATES
        for name in content[updates]
        if name != "AMD"
    }
    verdict, figures = _judged(pairs)
    return verdict, f"climb of the mean of {fig2.WINDOW} batches, AMD first: {figures}"


def _after_training(content: Results, ours: str, *rivals: str) -> Verdict:
    """Compare test energies after training, each at the codes of its own method."""
    return _judged(
        {
            f"{other}, {updates} updates": (
                content[updates][ours]["own codes"]["by_seed"],
                content[updates][other]["own codes"]["by_seed"],
            )
            for updates in fig2.RATES
            for other in rivals
        }
    )


def _too_slow(content: Results) -> Verdict:
    """Compare medians of three runs; a factor of two counts."""
    verdicts = {}
    figures = []
    for key, case in (("mnist_one_pass", "one pass"), ("mnist_six_passes", "six passes")):
        rows = content[key]["race"]
        adaptive = next(row for row in rows if row["method"] == "torchdiffeq dopri5")
        amd = min(
            (row for row in rows if row["method"] == "AMD" and row["gap"] <= adaptive["gap"]),
            key=lambda row: row["seconds"],
        )
        ratio = adaptive["seconds"] / amd["seconds"]
        verdicts[case] = HOLDS if ratio > 2 else FAILS if ratio < 0.5 else WITHIN
        figures.append(
            f"{case}: {adaptive['seconds']:.1f} s to a gap of {adaptive['gap']:.4f}, AMD "
            f"{amd['seconds']:.1f} s to {amd['gap']:.4f}"
        )
    return combined(verdicts), "; ".join(figures)


def _nearly_normal(content: Results) -> Verdict:
    """Return whether codes after 800 updates or more are as near to normal as chance allows."""
    n_codes = content["batch"] * (Recent().kept.maxlen or 0)
    chance = 1.36 / math.sqrt(n_codes)
    late = [look for run in content["samples"] for look in run if look["updates"] >= 800]
    nearest = min(look["normality"] for look in late)
    figures = (
        f"distance to normal {nearest:.2f} or more in every run; chance keeps below {chance:.3f} "
        f"in 95 of 100 draws of {n_codes} codes"
    )
    return (HOLDS if nearest < chance else FAILS), figures


def _half_the_weights(content: Results) -> Verdict:
    ours, theirs = (content["parameters"][name] for name in ("GON", "autoencoder, equal width"))
    return (HOLDS if 2 * ours <= theirs else FAILS), f"{ours:,} against {theirs:,}"


def _by_the_clock(content: Results) -> Verdict:
    measured = content["seconds"]["mnist"]
    ours, theirs = (measured[name] for name in ("GON", "autoencoder, equal width"))
    pairs = {f"{s} s": (ours[s]["by_seed"], theirs[s]["by_seed"]) for s in ours}
    return _judged(pairs, digits=1)


def _planted(content: Results) -> Verdict:
    """Return whether the number is found in eight of ten data sets, for each planted number."""
    verdicts = {
        n: HOLDS if one["within_one_and_met"] / one["of"] >= 0.8 else FAILS
        for n, one in content.items()
    }
    return combined(verdicts), "; ".join(
        f"{n}: {one['within_one_and_met']} of {one['of']} runs" for n, one in content.items()
    )


def _kept(content: Results) -> Verdict:
    """Return whether kept codes open no more gates than codes found again, beyond the spread.

    The spread is that over paired data sets on which both runs met the threshold.
    """
    fresh, kept = (content["planted"][name] for name in ("flow", "flow, codes kept"))
    pairs = {f"{n} planted": _both_met(kept[n], fresh[n]) for n in fresh}
    verdicts = {case: _no_worse(below(*pair)) for case, pair in pairs.items()}
    some = {case: pair for case, pair in pairs.items() if pair[0]}
    return combined(verdicts), _judged(some, digits=1)[1]


def _both_met(ours: Results, theirs: Results) -> tuple[Seeds, Seeds]:
    """Return counts of open gates by data set, where both runs met the threshold."""
    both = [i for i, met in enumerate(zip(ours["met"], theirs["met"], strict=True)) if all(met)]
    mine, other = ({str(i): float(one["open"][i]) for i in both} for one in (ours, theirs))
    return mine, other


def _that_met(one: Results, values: Sequence[float]) -> list[float]:
    """Return the values of the runs that met the threshold."""
    return [value for value, met in zip(values, one["met"], strict=True) if met]


def _doubled(content: Results) -> Verdict:
    """Return whether the mean number of open gates is within one of the reference's.

    Runs that missed the threshold do not count.
    """
    verdicts = {}
    figures = []
    for data, kinds in content["doubled"].items():
        for kind, rows in kinds.items():
            for n, one in rows.items():
                opened = _that_met(one, one["open"])
                case = f"{data} {kind} {n}"
                if len(opened) < MIN_SEEDS:
                    verdicts[case] = OPEN
                    figures.append(f"{case}: {len(opened)} of {len(one['open'])} runs count")
                    continue
                verdicts[case] = HOLDS if abs(fmean(opened) - int(n)) <= 1 else FAILS
                figures.append(f"{case}: {fmean(opened):.1f}")
    return combined(verdicts), "; ".join(figures)


_MIN_KNOWN = 0.3
"""Smallest score above chance that a factor needs at the codes of the reference to be judged."""


def _given_up(content: Results) -> Verdict:
    """Return whether factors are kept or given up as the claim says.

    A factor is kept if its mean score above chance is more than half of the reference's. The
    verdict is "within the spread" if that share differs from one half by no more than the standard
    deviation of the shares over runs. Runs that missed the threshold do not count.
    """
    verdicts = {}
    figures = []
    for kind, rows in content["factors"].items():
        reference = {
            name: one["mean"] - _chance(name)
            for name, one in rows["reference"]["r2"].items()
            if one["mean"] - _chance(name) > _MIN_KNOWN
        }
        left_out = [name for name in rows["reference"]["r2"] if name not in reference]
        its = []
        for which in ("tight", "loose"):
            runs = rows[which]
            opened = _that_met(runs, runs["open"])
            if len(opened) < MIN_SEEDS:
                its.append(OPEN)
                figures.append(f"{kind}, {which}: {len(opened)} of {len(runs['open'])} runs count")
                continue
            listed = []
            for name, whole in reference.items():
                scores = _that_met(runs, [*runs["r2"][name]["by_seed"].values()])
                share = (fmean(scores) - _chance(name)) / whole
                kept = which == "tight" or name in ("x", "y", "scale")
                clear = abs(share - 0.5) > statistics.stdev(scores) / whole
                its.append((HOLDS if (share > 0.5) == kept else FAILS) if clear else WITHIN)
                listed.append(
                    f"{name.removesuffix(' (share right)')} {fmean(scores):.2f} ({share:.2f})"
                )
            figures.append(f"{kind}, {which}: {fmean(opened):.1f} open, {', '.join(listed)}")
        figures.append(
            f"{kind}: left out, because the reference predicts too little: "
            + (", ".join(left_out) or "none")
        )
        verdicts[kind] = next(one for one in (FAILS, OPEN, WITHIN, HOLDS) if one in its)
    return combined(verdicts), "; ".join(figures)


def _chance(name: str) -> float:
    """Return the score of uninformative codes for a factor: one shape of three, or no variance."""
    return 1 / 3 if name.startswith("shape") else 0.0


CLAIMS = (
    Claim(
        "After a few hundred images, each seen once, the flow explains unseen ones better than an "
        "autoencoder.",
        GFE,
        "table1-few",
        lambda content: _compared(content["single"], _FLOW, _AE),
    ),
    Claim(
        "The same if each image is encoded once and used 32 to 64 times by rehearsal.",
        OURS,
        "table1-few",
        lambda content: _compared(content["once"], _FLOW, _AE),
    ),
    Claim(
        "The nonlinear decoder is not the reason: logistic PCA, trained by the flow with rehearsal, "
        "does the same.",
        OURS,
        "table1-few",
        lambda content: _compared(content["once"], "logistic_pca, flow", _AE),
    ),
    Claim(
        "The small number of passes is not the only reason: with the best of many passes, the flow "
        "is still below the autoencoder.",
        OURS,
        "table1-few",
        lambda content: _compared(content["free"], _FLOW, _AE),
    ),
    Claim(
        "The method is robust to the seed: over seeds its energies vary less than an "
        "autoencoder's.",
        GFE,
        "table1-few",
        _steady,
    ),
    Claim(
        "The flow from the origin, on an autoencoder's decoder, explains unseen images better than "
        "the autoencoder's own codes.",
        GFE,
        "two-by-two",
        lambda content: _compared(content["sizes"], _FOLLOWED, _AE),
    ),
    Claim(
        "The same from the autoencoder's codes on.",
        OURS,
        "two-by-two",
        lambda content: _compared(content["sizes"], _REFINED, _AE),
    ),
    Claim(
        "The decoder that the flow trained is better too, not only the code: its energy lies below "
        "that of the autoencoder's decoder at codes that the flow has improved.",
        GFE,
        "two-by-two",
        lambda content: _compared(content["sizes"], _FLOW, _REFINED),
    ),
    Claim("One pass with the flow equals twelve of the autoencoder.", GFE, "fig1", _one_pass),
    Claim("The flow takes longer for each image.", GFE, "fig1", _slower),
    Claim(
        "Trained for some minutes, the same for both, the flow is below the autoencoder.",
        GFE,
        "table1-converged",
        _converged,
    ),
    Claim(
        "Dropping the adjoint's integral costs next to nothing for each image.",
        GFE,
        "fig2",
        _per_image,
    ),
    Claim("Dropping it pays for each second.", GFE, "fig2", _per_second),
    Claim(
        "Fixed grids become unstable while the decoder learns; AMD does not.",
        CODE,
        "fig2",
        _unstable,
    ),
    Claim(
        "The flow of second order converges faster: after as many images, it is below that of "
        "first order.",
        GFE,
        "fig2",
        lambda content: _after_training(content, "second order", "equal steps", "growing steps"),
    ),
    Claim(
        "AMD is below the flow of second order.",
        GFE,
        "fig2",
        lambda content: _after_training(content, "AMD", "second order"),
    ),
    Claim("Adaptive solvers of the flow are too slow.", GFE, "bench", _too_slow),
    Claim(
        "From the observed pixels, the flow with a prior draws hidden pixels better than an "
        "autoencoder that was trained with gaps of exactly this kind.",
        OURS,
        "missing",
        lambda content: _compared(
            content["energy"], "flow, with prior", "autoencoder trained with gaps"
        ),
    ),
    Claim(
        (
            "From spectra with gaps and noise, codes of the flow draw the clean flux better than "
            "an autoencoder's."
        ),
        OURS,
        "spectra",
        lambda content: _compared(content["energy"], "flow", "autoencoder", digits=1),
    ),
    Claim(
        (
            "The one step from the origin must be differentiated through: detached, the error is "
            "larger."
        ),
        GON,
        "gon",
        lambda content: _compared(content["error"], "GON", "GON, detached", digits=2),
    ),
    Claim(
        "One step reaches a lower error than an autoencoder with as many weights.",
        GON,
        "gon",
        lambda content: _compared(
            content["error"], "GON", "autoencoder, equal parameters", digits=2
        ),
    ),
    Claim(
        "One step reaches a lower error than an autoencoder whose decoder is as wide.",
        OURS,
        "gon",
        lambda content: _compared(content["error"], "GON", "autoencoder, equal width", digits=2),
    ),
    Claim(
        "One step needs half the weights of an autoencoder whose decoder is as wide.",
        GON,
        "gon",
        _half_the_weights,
    ),
    Claim(
        "One step converges faster: after as many seconds, its error is below that of this "
        "autoencoder.",
        GON,
        "gon",
        _by_the_clock,
    ),
    Claim(
        "Gradients at the origin are nearly normal after 800 updates.",
        GON,
        "gon",
        _nearly_normal,
    ),
    Claim(
        (
            "The flow to rest needs no gradient through it: trained detached for as many updates "
            "it is below the one step."
        ),
        OURS,
        "gon",
        lambda content: _compared(content["error"], "flow-trained, flow", "GON", digits=2),
    ),
    Claim(
        (
            "Gates find the number of latents that a given error needs: planted ones within one, "
            "under the threshold."
        ),
        NARROWING,
        "narrowing",
        lambda content: _planted(content["planted"]["VAE"]),
    ),
    Claim(
        "Without an encoder they find it too.",
        OURS,
        "narrowing",
        lambda content: _planted(content["planted"]["flow"]),
    ),
    Claim(
        (
            "Codes of a flow need not be found again at other gates: the same codes lead to as few "
            "open gates."
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
            "On shapes a tight threshold keeps shape, place and rotation, a loose one only place and "
            "size."
        ),
        NARROWING,
        "narrowing",
        _given_up,
    ),
)

_HEAD = f"""# Claims and verdicts

What the sources of the kit claim, tested by our own experiments. Verdicts and figures are computed from the result files
in `data/results`. `python -m gfe_core claims` writes this page, and a test checks that it is up to date.

- **Figures** are means over seeds, ours first: test energies in nats per pixel or, for spectra, in nats per wavelength,
  and squared errors of an image for steps from the origin. In brackets is the difference, ours minus theirs: its mean
  over seeds that both have, ± its standard deviation.
- **"{HOLDS}"** means that this difference lies below zero by more than its standard deviation, **"{FAILS}"** that it lies
  above zero by more than that, and **"{WITHIN}"** that it does neither. A claim that two methods are equal holds unless
  ours lies above by more than the spread. **"{OPEN}"** means that there are fewer than {MIN_SEEDS} seeds.
- **Other rules.** Robust to the seed: one standard deviation counts as smaller if it is so by a factor that chance alone
  exceeds in 5 of 100 comparisons: {MORE_SPREAD[5]} for five seeds, {MORE_SPREAD[3]} for three. Adaptive solvers: a factor
  of two between medians of three runs counts (single runs where one takes over ten seconds). Nearly normal: the distance of Kolmogorov and Smirnov, for all latents together, is as small as
  chance allows. Planted latents: the number is found if, in eight of ten data sets, the number of open gates differs
  by at most one and the error is below the threshold. Doubled latents: the mean over runs is within one of the
  reference. In all rules on gates but that on planted latents only runs whose error ends below the threshold count; with
  fewer than {MIN_SEEDS} of these there is no verdict.
- **Factors of shapes.** The first figure is the R² with which codes predict a factor; for the shape it is the share of
  correct predictions. In brackets is the same figure relative to the codes of the reference, after subtracting chance
  from both. A factor for which the reference exceeds chance by less than {_MIN_KNOWN} is left out. A factor is kept if
  the relative figure is above one half, and given up if it is below; it is within the spread if the distance to one
  half is no larger than the deviation of the runs.

"""


def page() -> str:
    """Return the text of notebooks/CLAIMS.md."""
    lines = head("claim", "source", "verdict", "figures", "command")
    for claim in CLAIMS:
        verdict, figures = claim.judge(results.load(claim.experiment))
        lines.append(row(claim.text, claim.source, verdict, figures, _command(claim.experiment)))
    return _HEAD + "\n".join(lines) + "\n"


def _command(experiment: str) -> str:
    """Return the command that makes a result file."""
    return (
        "`make bench`" if experiment == "bench" else f"`python -m gfe_core reproduce {experiment}`"
    )
