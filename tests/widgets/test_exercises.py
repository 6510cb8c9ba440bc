"""No plausible wrong formula passes an exercise of the notebooks, and each right one does.

Every wrong formula stands beside words of the sentence that names its mistake.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from gfe_core.methods import gon
from gfe_core.widgets.lessons import check

Formula = Callable[..., Any]

eig, singular, soft = torch.linalg.eigvalsh, torch.linalg.svdvals, F.softplus


def residual(W, z, x):
    return z @ W.T - x


def gradient(W, z, x):
    return residual(W, z, x).T @ z


def by_autograd(W, z, x, lr):
    W = W.clone().requires_grad_()
    F.mse_loss(z @ W.T, x).backward()
    return W - lr * W.grad


def n_gradients(t1, largest, whole):
    return [whole(t1 * largest / 2.0), 4 * whole(t1 * largest / 2.785)]


def first_pass(limit, curvature, beta):
    return math.ceil(math.log(limit / curvature) / math.log(beta))


def by_trying(
    curvature, trial, beta, sigma, fails=lambda fall, promise, sigma: fall < sigma * promise
):
    z, n = 1.7, 0

    def energy(z):
        return 0.5 * curvature * z**2

    slope = curvature * z
    while fails(energy(z) - energy(z - beta**n * trial * slope), beta**n * trial * slope**2, sigma):
        n += 1
    return n


def one_step(term=torch.square, over=torch.sum, sign=-1.0, where=lambda seen: seen):
    """A step that sees pixels by `where`, and sums terms of the energy by `over`."""

    def code_from(decoder, x, seen, dt):
        z = torch.zeros(len(x), 1, requires_grad=True)
        inside = over(term(decoder(z) - x)[:, where(seen)], 1).sum()
        return sign * dt * torch.autograd.grad(inside, z)[0]

    return code_from


def black_where_hidden(decoder, x, seen, dt):
    z = torch.zeros(len(x), 1, requires_grad=True)
    inside = (decoder(z) - torch.where(seen, x, 0.0)).square().sum()
    return -dt * torch.autograd.grad(inside, z)[0]


def mean_over_all_pixels(decoder, x, seen, dt):
    return one_step()(decoder, x, seen, dt) / x.shape[1]


def mean_over_the_batch(decoder, x, seen, dt):
    return one_step()(decoder, x, seen, dt) / len(x)


def others(z):
    return torch.cdist(z, z).fill_diagonal_(torch.inf)


def saved(theirs_at, *, own=-1, kind="unseen"):
    def share(ours, theirs, floor):
        return 1 - (ours[kind][own] - floor) / (theirs[kind][theirs_at] - floor)

    return share


def away(codes, z):
    return z - codes.mean(0)


def by_matrix(away, P):
    return 0.5 * ((away @ P) * away).sum(1)


def inverse(codes, correction=1):
    return torch.linalg.inv(codes.T.cov(correction=correction))


def turned(places, angle, sign=1.0):
    down, across = places.T
    sine, cosine = sign * torch.sin(angle), torch.cos(angle)
    return torch.stack([cosine * down + sine * across, cosine * across - sine * down], 1)


RIGHT: dict[str, list[Formula]] = {
    "my_energy": [
        lambda y, x: (soft(y) - x * y).mean(1),
        lambda y, x: (torch.log(1 + torch.exp(y)) - x * y).sum(dim=1) / y.shape[1],
        lambda y, x: F.binary_cross_entropy_with_logits(y, x, reduction="none").mean(-1),
        lambda y, x: F.binary_cross_entropy(torch.sigmoid(y), x, reduction="none").mean(1).tolist(),
    ],
    "largest_step": [
        lambda W: 2 / eig(W.T @ W)[-1],
        lambda W: 2 / eig(W @ W.T).max().item(),
        lambda W: 2 / singular(W)[0] ** 2,
        lambda W: 2 / torch.linalg.norm(W, 2) ** 2,
    ],
    "updated": [
        lambda W, z, x, lr: W - lr * gradient(W, z, x) / len(x),
        lambda W, z, x, lr: W - lr * torch.einsum("bi,bj->bij", residual(W, z, x), z).mean(dim=0),
        lambda W, z, x, lr: W.sub_(lr * gradient(W, z, x) / len(x)),
    ],
    "fewest_gradients": [
        lambda t1, largest: n_gradients(t1, largest, math.ceil),
        lambda t1, largest: torch.tensor(n_gradients(t1, largest, math.ceil)),
        lambda t1, largest: n_gradients(t1, largest, lambda steps: int(steps) + 1),
    ],
    "refusals": [
        by_trying,
        lambda curvature, trial, beta, sigma: first_pass(2 * (1 - sigma), curvature * trial, beta),
    ],
    "implicit_dt": [
        lambda G, damping, rate: 1 / (rate * damping * G.diagonal().mean()),
        lambda G, damping, rate: 1 / (rate * damping * torch.linalg.eigvalsh(G).mean()),
        lambda G, damping, rate: (len(G) / (rate * damping * G.trace())).item(),
    ],
    "first_restart": [
        lambda curvature: 3.8317 / curvature**0.5,
        lambda curvature: torch.tensor(3.8317 / math.sqrt(curvature)),
    ],
    "implicit_wins_from": [lambda: math.log(2), lambda: -torch.tensor(0.5).log()],
    "code_from": [
        one_step(),
        lambda decoder, x, seen, dt: gon.Origin(dt=dt, seen=seen)(decoder, x).z,
    ],
    "price_gradient": [
        lambda gamma, price: price * torch.sigmoid(gamma) * torch.sigmoid(-gamma),
        lambda gamma, price: price * gamma.exp() / (1 + gamma.exp()) ** 2,
    ],
    "share_saved": [
        lambda ours, theirs, floor: 1 - (ours["unseen"][-1] - floor) / (theirs["unseen"][1] - floor)
    ],
    "own_kind": [
        lambda z, y: (y[others(z).argmin(1)] == y).float().mean(),
        lambda z, y: (y[torch.cdist(z, z).argsort(1)[:, 1]] == y).double().mean().item(),
    ],
    "prior_energy": [
        lambda codes, z: by_matrix(away(codes, z), inverse(codes)),
        lambda codes, z: (
            0.5 * (away(codes, z) * torch.linalg.solve(codes.T.cov(), away(codes, z).T).T).sum(1)
        ),
        lambda codes, z: [by_matrix(one[None], inverse(codes)).item() for one in away(codes, z)],
    ],
    "turn": [
        turned,
        lambda places, angle: (
            places
            @ torch.tensor(
                [
                    [math.cos(angle), -math.sin(angle)],
                    [math.sin(angle), math.cos(angle)],
                ]
            )
        ),
    ],
}

WRONG: dict[str, list[tuple[str, Formula]]] = {
    "my_energy": [
        ("sum over pixels", lambda y, x: (soft(y) - x * y).sum(1)),
        ("x is missing", lambda y, x: (soft(y) - y).mean(1)),
        ("logit y itself", lambda y, x: (soft(y.sigmoid()) - x * y.sigmoid()).mean(1)),
        ("second term takes", lambda y, x: (soft(y) - x * y.sigmoid()).mean(1)),
        ("sign of the second", lambda y, x: (soft(y) + x * y).mean(1)),
        ("over the images", lambda y, x: (soft(y) - x * y).mean(0)),
        ("whole batch", lambda y, x: F.binary_cross_entropy_with_logits(y, x)),
        ("F.softplus", lambda y, x: soft(y).mean(1)),
        ("F.softplus", lambda y, x: (y.sigmoid() - x).square().mean(1)),
        ("F.softplus", lambda y, x: F.binary_cross_entropy_with_logits(y, 1 - x)),
    ],
    "largest_step": [
        ("half of the limit", lambda W: 1 / eig(W.T @ W)[-1]),
        ("half of the limit", lambda W: 2 / eig(2 * W.T @ W)[-1]),
        ("twice the limit", lambda W: 2 / eig(W.T @ W / 2)[-1]),
        ("smallest curvature", lambda W: 2 / eig(W.T @ W)[0]),
        ("curvature is its square", lambda W: 2 / singular(W)[0]),
        ("1 over a singular value", lambda W: 1 / singular(W)[0]),
        ("largest entry", lambda W: 2 / (W.T @ W).max()),
        ("largest entry", lambda W: 2 / (W.T @ W).diagonal().max()),
        ("sum of all curvatures", lambda W: 2 / W.square().sum()),
        ("over a row", lambda W: 2 / (W.T @ W).abs().sum(1).max()),
        ("eigvalsh(W.T @ W)", lambda W: 2 / eig(W @ W)[-1]),
        ("eigvalsh(W.T @ W)", lambda W: 2 / eig(W)[-1] ** 2),
    ],
    "updated": [
        ("not the sum", lambda W, z, x, lr: W - lr * gradient(W, z, x)),
        ("F.mse_loss", by_autograd),
        ("F.mse_loss", lambda W, z, x, lr: W - lr * gradient(W, z, x) / x.shape[1]),
        ("a third", lambda W, z, x, lr: W - lr * gradient(W, z, x) / x.numel()),
        ("sign is wrong", lambda W, z, x, lr: W + lr * gradient(W, z, x) / len(x)),
        ("rate is missing", lambda W, z, x, lr: W - gradient(W, z, x) / len(x)),
        ("This is the gradient", lambda W, z, x, lr: gradient(W, z, x) / len(x)),
        ("has not changed", lambda W, z, x, lr: W),
    ],
    "fewest_gradients": [
        ("These are steps", lambda t1, largest: [math.ceil(t1 * largest / h) for h in (2, 2.785)]),
        ("not h", lambda t1, largest: [math.ceil(t1 / 2), 4 * math.ceil(t1 / 2.785)]),
        ("not down", lambda t1, largest: n_gradients(t1, largest, math.floor)),
        ("round up, always", lambda t1, largest: n_gradients(t1, largest, round)),
        ("before you multiply", lambda t1, largest: [21, math.ceil(4 * t1 * largest / 2.785)]),
        ("whole steps: round up.", lambda t1, largest: n_gradients(t1, largest, float)),
        ("its h is 2.785", lambda t1, largest: [k * math.ceil(t1 * largest / 2) for k in (1, 4)]),
    ],
    "refusals": [
        (
            "share sigma",
            lambda curvature, trial, beta, sigma: first_pass(2, curvature * trial, beta),
        ),
        (
            "share sigma",
            lambda **given: by_trying(**given, fails=lambda fall, promise, sigma: fall < 0),
        ),
        ("rounded up", lambda **given: by_trying(**given) - 1),
        ("accepted trial too", lambda **given: by_trying(**given) + 1),
        (
            "lowest point",
            lambda curvature, trial, beta, sigma: first_pass(1, curvature * trial, beta),
        ),
        (
            "factor 2",
            lambda curvature, trial, beta, sigma: first_pass(1 - sigma, curvature * trial, beta),
        ),
        (
            "not 2 sigma",
            lambda curvature, trial, beta, sigma: first_pass(2 * sigma, curvature * trial, beta),
        ),
        (
            "curvature is missing",
            lambda curvature, trial, beta, sigma: first_pass(2 * (1 - sigma), trial, beta),
        ),
        (
            "divides by the curvature",
            lambda curvature, trial, beta, sigma: first_pass(
                2 * (1 - sigma), trial / curvature, beta
            ),
        ),
        (
            "not squared",
            lambda curvature, trial, beta, sigma: first_pass(
                2 * (1 - sigma), curvature**2 * trial, beta
            ),
        ),
        ("accepted step", lambda **given: given["trial"] * given["beta"] ** by_trying(**given)),
    ],
    "implicit_dt": [
        ("rate is missing", lambda G, damping, rate: 1 / (damping * G.diagonal().mean())),
        ("in units of", lambda G, damping, rate: 1 / (rate * damping)),
        ("upside down", lambda G, damping, rate: rate * damping * G.diagonal().mean()),
        ("wrong side", lambda G, damping, rate: rate / (damping * G.diagonal().mean())),
        ("all entries", lambda G, damping, rate: 1 / (rate * damping * G.mean())),
        ("sum of the diagonal", lambda G, damping, rate: 1 / (rate * damping * G.trace())),
        ("damping is missing", lambda G, damping, rate: 1 / (rate * G.diagonal().mean())),
        ("Damping and rate", lambda G, damping, rate: 1 / G.diagonal().mean()),
        ("Solve it for dt", lambda G, damping, rate: damping * G.diagonal().mean()),
        ("added to the diagonal", lambda G, damping, rate: damping / (rate * G.diagonal().mean())),
    ],
    "first_restart": [
        ("at s = 0", lambda curvature: 0.0),
        ("zero of J0", lambda curvature: 2.4048 / curvature**0.5),
        ("Solve it for t", lambda curvature: 3.8317),
        ("denominator", lambda curvature: 3.8317 * curvature**0.5),
        ("divides by the curvature", lambda curvature: 3.8317 / curvature),
        ("without friction", lambda curvature: math.pi / 2 / curvature**0.5),
        ("first minimum", lambda curvature: 5.1356 / curvature**0.5),
        ("The solution stands", lambda curvature: 3.8317 * 2 / curvature),
        ("The solution stands", lambda curvature: math.pi / curvature**0.5),
    ],
    "share_saved": [
        ("equal updates", saved(-1)),
        ("share of the energy", lambda ours, theirs, floor: saved(1)(ours, theirs, 0.0)),
        ("trained on", saved(1, kind="seen")),
        ("Subtract the floor", lambda ours, theirs, floor: saved(-1)(ours, theirs, 0.0)),
        ("difference", lambda ours, theirs, floor: theirs["unseen"][1] - ours["unseen"][-1]),
        (
            "the flow's excess",
            lambda ours, theirs, floor: (
                (theirs["unseen"][1] - ours["unseen"][-1]) / (ours["unseen"][-1] - floor)
            ),
        ),
        ("first entries", saved(0, own=0)),
    ],
    "own_kind": [
        ("named itself", lambda z, y: (y[torch.cdist(z, z).argmin(1)] == y).float().mean()),
        ("farthest", lambda z, y: (y[torch.cdist(z, z).argmax(1)] == y).float().mean()),
        ("number of points", lambda z, y: (y[others(z).argmin(1)] == y).sum()),
        ("all pairs", lambda z, y: (y[:, None] == y).float().mean()),
    ],
    "implicit_wins_from": [
        ("a minus sign", lambda: 0.5),
        ("The sign", lambda: math.log(0.5)),
        ("exp(s)", lambda: 2.0),
        ("base 10", lambda: math.log10(2)),
        ("size of both", lambda: 0.25),
        ("63 %", lambda: 1.0),
    ],
    "code_from": [
        ("every pixel", one_step(where=lambda seen: seen | ~seen)),
        ("counts as black", black_where_hidden),
        ("hidden pixels", one_step(where=lambda seen: ~seen)),
        ("not their mean", one_step(over=torch.mean)),
        ("not the mean over all", mean_over_all_pixels),
        ("keep the 2", one_step(term=lambda error: error.square() / 2)),
        ("sum over the images", mean_over_the_batch),
        ("sign is wrong", one_step(sign=1.0)),
        ("dt is missing", lambda decoder, x, seen, dt: one_step()(decoder, x, seen, 1.0)),
    ],
    "price_gradient": [
        ("price itself", lambda gamma, price: price * gamma.sigmoid()),
        ("all gates together", lambda gamma, price: price * gamma.sigmoid().sum()),
        ("log-odds gamma", lambda gamma, price: price * torch.ones(2)),
        ("sign is wrong", lambda gamma, price: -price * gamma.sigmoid() * (-gamma).sigmoid()),
        ("price of log p", lambda gamma, price: price * (1 - gamma.sigmoid())),
        ("price is missing", lambda gamma, price: gamma.sigmoid() * (-gamma).sigmoid()),
        (
            "sum over the gates",
            lambda gamma, price: price * (gamma.sigmoid() * (-gamma).sigmoid()).sum(),
        ),
    ],
    "prior_energy": [
        ("in place of its inverse", lambda codes, z: by_matrix(away(codes, z), codes.T.cov())),
        ("1/2 is missing", lambda codes, z: 2 * by_matrix(away(codes, z), inverse(codes))),
        ("the mean of the codes", lambda codes, z: by_matrix(z, inverse(codes))),
        (
            "whole matrix",
            lambda codes, z: 0.5 * (away(codes, z) ** 2 / codes.var(0)).sum(1),
        ),
        ("P is missing", lambda codes, z: 0.5 * (away(codes, z) ** 2).sum(1)),
        ("n - 1", lambda codes, z: by_matrix(away(codes, z), inverse(codes, correction=0))),
        ("sum over the rows", lambda codes, z: by_matrix(away(codes, z), inverse(codes)).sum()),
        ("What is P", lambda codes, z: by_matrix(away(codes, z), torch.linalg.inv(codes.cov()))),
    ],
    "turn": [
        ("drawing clockwise.", lambda places, angle: turned(places, angle, -1.0)),
        ("comes first in a place.", lambda places, angle: turned(places, angle).flip(1)),
        ("and the drawing", lambda places, angle: turned(places, angle, -1.0).flip(1)),
        ("nothing turns", lambda places, angle: places),
        ("(1, 0)", lambda places, angle: turned(places, 2 * angle)),
    ],
}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_every_right_formula_passes(name: str, capsys: pytest.CaptureFixture[str]):
    for formula in RIGHT[name]:
        check(name, formula)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(RIGHT[name])
    assert all(line.startswith("True: ") for line in lines), lines


@pytest.mark.parametrize("name", sorted(WRONG))
def test_every_wrong_formula_is_refused_and_its_mistake_named(
    name: str, capsys: pytest.CaptureFixture[str]
):
    for words, formula in WRONG[name]:
        check(name, formula)
        line = capsys.readouterr().out
        assert line.startswith("False: ") and words in line, f"{words}: {line}"
