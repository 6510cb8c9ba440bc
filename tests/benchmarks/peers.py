"""The peers of the race, and the kit's own minimisers, each with its range of budgets.

Every racer starts at z = 0 with the same decoder, images and float32. `prepare` imports what it
needs, copies weights and images and compiles; only `run` is timed. What each minimises:

- LBFGS, BFGS, torch's L-BFGS and Adam, botorch: the Bernoulli energy E, in nats per pixel, with the
  gradients of `gfe.Energy`. torchdiffeq follows dz/dt = -grad E, with one step for the batch.
- BFGS and L-BFGS of optimistix: the same energy, written in jax and multiplied by a scale.
- Levenberg-Marquardt of jaxopt, optimistix and caustics: half the square sum of the deviance
  residuals r_i = sign(y_i - logit x_i) sqrt(2 (E_i - floor_i)), which is the energy in nats per
  image above its floor, so it has the same minima. These methods take J'J for the curvature, which
  for a black pixel that is drawn well is half of the true one.

`batch_lm` of caustics calls its function with parameters only. The number of the image is appended
to them as a parameter without influence on its own step: its column of J is zero.

A racer may have choices: a rate, a scale or a damping that its authors leave to the user. The race
takes the one with the lowest energy on images that are not timed. In jax, samples are vmapped in
chunks, so a chunk runs until its budget of steps is spent; tolerances are zero.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from bench import NEVER, adam, lbfgs, ode, ours
from torch import Tensor, nn

import gfe_core as gfe

# jax reads this when it starts.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

Run = Callable[[Any], Tensor]
"""Codes for a choice."""

Prepare = Callable[[Any, Tensor, float], Run]
"""Everything that is not timed, for a decoder, images and a budget."""

CHUNK = 1000
"""Images that Levenberg-Marquardt and jax take at once: a Jacobian of 1,000 is 60 MB or more."""


@dataclass(frozen=True)
class Racer:
    """One method: its preparation, its budgets of work and the choices that it leaves open.

    Args:
        name: name of the method in tables.
        prepare: function from decoder, images and budget to a run.
        budgets: budgets, from small to large.
        choices: values of the method's own parameter; None if it has none.
        packages: packages that it needs, as they are imported.
        peer: whether it is another project's method.
    """

    name: str
    prepare: Prepare
    budgets: tuple[float, ...]
    choices: tuple[Any, ...] = (None,)
    packages: tuple[str, ...] = ()
    peer: bool = True


def attempts(solver: Any) -> Prepare:
    """Run a solver of the kit; the budget is the number of attempts for every sample."""

    def prepare(decoder: Any, x: Tensor, n: float) -> Run:
        return lambda choice: ours(decoder, x, solver, NEVER, max_steps=int(n)).z

    return prepare


def each_stops(solver: Any) -> Prepare:
    """Run a solver of the kit; a sample stops where 1 / budget of its descent is left."""

    def prepare(decoder: Any, x: Tensor, budget: float) -> Run:
        return lambda choice: ours(decoder, x, solver, gfe.Stop(gain_rtol=1 / budget)).z

    return prepare


def torch_lbfgs(decoder: Any, x: Tensor, n: float) -> Run:
    """Run L-BFGS on the sum over the batch; the budget is the number of evaluations."""
    return lambda choice: lbfgs(decoder, x, int(n)).z


def torch_adam(decoder: Any, x: Tensor, n: float) -> Run:
    """Run Adam, which treats every number of every code alone; the choice is its rate."""
    return lambda rate: adam(decoder, x, rate, int(n)).z


def dopri5(decoder: Any, x: Tensor, t1: float) -> Run:
    """Follow the flow with an explicit solver with error control; the budget is the end time."""
    return lambda choice: ode(decoder, x, "dopri5", t1, rtol=1e-3, atol=1e-4).z


def botorch_lbfgs(rule: str) -> Prepare:
    """L-BFGS-B of each sample, with the gradients of all unfinished samples in one batch.

    Args:
        rule: meaning of the budget: "maxiter", the largest number of iterations, or "ftol", the
            inverse of the decrease below which a sample stops, in nats per pixel.
    """

    def prepare(decoder: Any, x: Tensor, budget: float) -> Run:
        minimise = import_module("botorch.optim.batched_lbfgs_b").fmin_l_bfgs_b_batched
        n_iterations, fall = (int(budget), 0.0) if rule == "maxiter" else (500, 1 / budget)

        def run(choice: Any) -> Tensor:
            energy = gfe.Energy(decoder, x, gfe.Bernoulli())

            def value_and_grad(z: np.ndarray, batch_indices: list[int]) -> tuple[Any, Any]:
                full = len(z) == len(x)
                unfinished = energy if full else energy.rows(torch.tensor(batch_indices))
                value, grad = unfinished.value_and_grad(torch.from_numpy(z).float())
                return value.double().numpy(), grad.double().numpy()

            z, _, _ = minimise(
                value_and_grad,
                np.zeros((len(x), decoder.latent_dim)),
                maxcor=10,
                factr=None,
                ftol=fall,
                pgtol=0.0,
                maxiter=n_iterations,
                pass_batch_indices=True,
            )
            return torch.from_numpy(z).float()

        return run

    return prepare


def residuals(xp: Any, output: Any, x: Any) -> Any:
    """Return the deviance residuals of logits; half their square sum is E - floor, in nats.

    Close to y = logit x both energies cancel, and the first terms of the series are used:
    with d = y - logit x,  r = sqrt(x (1 - x)) d (1 + (1 - 2 x) d / 6).

    Args:
        xp: torch or jax.numpy.
        output: logits.
        x: grey values in [0, 1].
    """
    grey = (x > 0) & (x < 1)
    inside = xp.where(grey, x, 0.5)
    d = output - xp.log(inside) + xp.log1p(-inside)
    close = grey & (xp.abs(d) < 0.05)
    short = xp.where(close, d, 0.0)
    series = xp.sqrt(inside * (1 - inside)) * short * (1 + (1 - 2 * inside) * short / 6)
    entropy = -inside * xp.log(inside) - (1 - inside) * xp.log1p(-inside)
    zero = xp.zeros_like(output)
    energy = x * xp.logaddexp(-output, zero) + (1 - x) * xp.logaddexp(output, zero)
    excess = xp.where(close, 1.0, energy - xp.where(grey, entropy, 0.0))
    tiny = xp.ones_like(output) * 1e-30
    root = xp.sqrt(2 * xp.maximum(excess, tiny))
    sign = xp.where(grey, xp.sign(d), 1 - 2 * x)
    return xp.where(close, series, sign * root)


def caustics_lm(decoder: Any, x: Tensor, n: float) -> Run:
    """Run Levenberg-Marquardt of caustics; the choice is its first damping."""
    batch_lm = import_module("caustics.utils").batch_lm

    def codes(images: Tensor, damping: float) -> Tensor:
        def of_image(parameters: Tensor) -> Tensor:
            image = images[parameters[-1:].long()][0]
            return residuals(torch, decoder(parameters[None, :-1])[0], image)

        z0 = torch.zeros(len(images), decoder.latent_dim)
        start = torch.cat([z0, torch.arange(len(images))[:, None]], 1)
        target = torch.zeros_like(images)
        return batch_lm(start, target, of_image, L=damping, max_iter=int(n), stopping=0.0)[0]

    return lambda damping: torch.cat([codes(part, damping)[:, :-1] for part in x.split(CHUNK)])


def vmapped(decoder: Any, x: Tensor, solve: Callable[..., Any]) -> Run:
    """Compile solve(decode, image, choice) for chunks of images."""
    jax: Any = import_module("jax")
    decode = in_jax(decoder)
    program = jax.jit(jax.vmap(partial(solve, decode), in_axes=(0, None)))
    parts = [jax.numpy.asarray(part.numpy()) for part in x.split(CHUNK)]
    choice = jax.numpy.float32(1)
    compiled = {
        n: program.lower(part, choice).compile() for n, part in {len(p): p for p in parts}.items()
    }

    def run(choice: float) -> Tensor:
        value = jax.numpy.float32(choice)
        codes = [np.asarray(compiled[len(part)](part, value)) for part in parts]
        return torch.from_numpy(np.concatenate(codes))

    return run


def with_jacobian(function: Callable[[Any], Any], derivative: Any) -> Callable[[Any, Any], Any]:
    """Return function(z, args) of optimistix, whose derivative is computed together with its value.

    Otherwise the linearised decoder, weights included, is kept for every sample under vmap, and a
    step of BFGS takes ten times as long.
    """
    jax: Any = import_module("jax")
    known = jax.custom_jvp(function)
    known.defjvp(lambda z, dz: (function(*z), derivative(function)(*z) @ dz[0]))
    return lambda z, args: known(z)


def jaxopt_lm(decoder: Any, x: Tensor, n: float) -> Run:
    """Run Levenberg-Marquardt of jaxopt with a Cholesky solve; the choice is its first damping."""
    jaxopt: Any = import_module("jaxopt")
    xp: Any = import_module("jax.numpy")

    def solve(decode: Any, image: Any, damping: Any) -> Any:
        solver = jaxopt.LevenbergMarquardt(
            lambda z: residuals(xp, decode(z), image),
            maxiter=int(n),
            damping_parameter=damping,
            tol=0.0,
            solver="cholesky",
            materialize_jac=True,
            implicit_diff=False,
        )
        return solver.run(xp.zeros(decoder.latent_dim)).params

    return vmapped(decoder, x, solve)


def optimistix_lm(decoder: Any, x: Tensor, n: float) -> Run:
    """Run Levenberg-Marquardt of optimistix with a Cholesky solve; the choice scales residuals.

    The damping starts at 1, so the scale sets its effect.
    """
    optx: Any = import_module("optimistix")
    lx: Any = import_module("lineax")
    jax: Any = import_module("jax")
    xp = jax.numpy
    solver = optx.LevenbergMarquardt(rtol=0.0, atol=0.0, linear_solver=lx.Normal(lx.Cholesky()))

    def solve(decode: Any, image: Any, scale: Any) -> Any:
        def scaled(z: Any) -> Any:
            return scale * residuals(xp, decode(z), image)

        z0 = xp.zeros(decoder.latent_dim)
        residuals_of = with_jacobian(scaled, jax.jacfwd)
        return optx.least_squares(residuals_of, solver, z0, max_steps=int(n), throw=False).value

    return vmapped(decoder, x, solve)


def optimistix_minimiser(name: str) -> Prepare:
    """Run a minimiser of optimistix; the choice scales the energy, because H starts as the unit."""

    def prepare(decoder: Any, x: Tensor, n: float) -> Run:
        optx: Any = import_module("optimistix")
        jax: Any = import_module("jax")
        xp = jax.numpy
        solver = getattr(optx, name)(rtol=0.0, atol=0.0)

        def solve(decode: Any, image: Any, scale: Any) -> Any:
            def energy(z: Any) -> Any:
                output = decode(z)
                return scale * xp.mean(jax.nn.softplus(output) - image * output)

            z0 = xp.zeros(decoder.latent_dim)
            energy_of = with_jacobian(energy, jax.grad)
            return optx.minimise(energy_of, solver, z0, max_steps=int(n), throw=False).value

        return vmapped(decoder, x, solve)

    return prepare


def in_jax(decoder: Any) -> Callable[[Any], Any]:
    """Return the function of one code that draws what a decoder of the kit draws.

    Raises:
        NotImplementedError: the decoder has a layer without a counterpart here.
        ValueError: both draw differently.
    """
    xp: Any = import_module("jax.numpy")
    layers = [_layer(module) for module in decoder.layers]
    height, width = decoder.image_shape[-2:]

    def decode(z: Any) -> Any:
        for layer in layers:
            z = layer(z)
        return z if z.ndim == 1 else z[..., :height, :width].reshape(-1)

    z = torch.randn(decoder.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn = decoder(z[None])[0].numpy()
    if not np.allclose(decode(xp.asarray(z.numpy())), drawn, atol=1e-3):
        raise ValueError("the decoder in jax draws another image")
    return decode


def _layer(module: nn.Module) -> Callable[[Any], Any]:
    """Return a layer of torch as a function of one sample in jax."""
    jax: Any = import_module("jax")
    xp = jax.numpy
    if isinstance(module, nn.Linear | nn.Conv2d):
        weight, bias = (xp.asarray(one.detach().numpy()) for one in module.parameters())
        if isinstance(module, nn.Linear):
            return lambda y: weight @ y + bias
        convolve = jax.lax.conv_general_dilated
        return lambda y: convolve(y[None], weight, (1, 1), "SAME")[0] + bias[:, None, None]
    if isinstance(module, nn.ELU):
        return jax.nn.elu
    if isinstance(module, nn.Unflatten):
        return lambda y: y.reshape(module.unflattened_size)
    if isinstance(module, nn.Upsample):
        return lambda y: xp.repeat(xp.repeat(y, 2, axis=-2), 2, axis=-1)
    raise NotImplementedError(f"no counterpart in jax of the layer {type(module).__name__}")


STEPS = (12, 15, 19, 24, 31)
LM_STEPS = (6, 9, 13, 19)

RACERS = (
    Racer("LBFGS", attempts(gfe.LBFGS()), STEPS, peer=False),
    Racer(
        "LBFGS, each sample stops", each_stops(gfe.LBFGS()), (33, 100, 330, 1000, 3300), peer=False
    ),
    Racer("BFGS", attempts(gfe.BFGS()), STEPS, peer=False),
    Racer("torch L-BFGS, summed batch", torch_lbfgs, (24, 32, 45, 65, 95)),
    Racer("torch Adam", torch_adam, (60, 120, 240), (0.2, 0.4, 0.8, 1.6)),
    Racer("torchdiffeq dopri5", dopri5, (100.0, 300.0, 900.0), packages=("torchdiffeq",)),
    Racer("botorch L-BFGS-B", botorch_lbfgs("maxiter"), STEPS, packages=("botorch",)),
    Racer(
        "botorch, each sample stops",
        botorch_lbfgs("ftol"),
        (2e3, 1e4, 5e4),
        packages=("botorch",),
    ),
    Racer("caustics LM", caustics_lm, LM_STEPS, (1.0, 10.0), packages=("caustics",)),
    Racer("jaxopt LM", jaxopt_lm, LM_STEPS, (1e-3, 1e-1, 1.0), packages=("jaxopt",)),
    Racer("optimistix LM", optimistix_lm, LM_STEPS, (0.1, 0.3, 1.0, 3.0), packages=("optimistix",)),
    Racer(
        "optimistix BFGS",
        optimistix_minimiser("BFGS"),
        (20, 30, 45, 70),
        (1.0, 28.0),
        packages=("optimistix",),
    ),
    Racer(
        "optimistix L-BFGS",
        optimistix_minimiser("LBFGS"),
        (14, 20, 28, 40),
        (1.0, 28.0),
        packages=("optimistix",),
    ),
)
