"""Describe a decoder, its loss and a solver to the engine in the browser (flow.js).

The engine repeats the kernel's formulas for stacks of linear layers. Anything that it cannot repeat
raises `Unportable` with a sentence, so that a view can use the kernel and say why.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gfe_core.arguments import called
from gfe_core.decoders import LinearDecoder, MLPDecoder, Wrapped
from gfe_core.decoders.mlp import Steady
from gfe_core.energy import Bernoulli, Gaussian
from gfe_core.flows import GradientFlow, NesterovFlow
from gfe_core.solvers import AMD, RK4, Euler, SemiImplicit, Solver
from gfe_core.types import AnyLoss, Decoder, Flow

_LINEAR: tuple[type[nn.Module], ...] = (nn.Linear, Steady)
_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ELU: "elu", nn.Tanh: "tanh", nn.ReLU: "relu"}
_SOLVERS: dict[type, str] = {
    Euler: "euler",
    RK4: "rk4",
    SemiImplicit: "semi_implicit",
    AMD: "amd",
}
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


class Unportable(ValueError):  # noqa: N818 - an answer, which most views show
    """The engine cannot compute this; the message says why, in a sentence for the reader."""


class _Layer(NamedTuple):
    weight: Tensor
    bias: Tensor
    activation: str = "none"

    def __call__(self, x: Tensor) -> Tensor:
        y = x @ self.weight.T + self.bias
        return y if self.activation == "none" else getattr(nn.functional, self.activation)(y)


def portable(decoder: Decoder, loss: AnyLoss | None = None) -> dict[str, Any]:
    """Describe a decoder and its loss for the engine.

    Args:
        decoder: an `MLPDecoder`, a `LinearDecoder`, or `nn.Linear` and `nn.Sequential` of linear
            layers with ELU, tanh or ReLU, wrapped or not.
        loss: `Bernoulli` or `Gaussian`; None means `Bernoulli()`.

    Returns:
        `layers` (inputs, outputs, activation), `weights` (float32 bytes: the matrix of each layer,
        then its bias) and `loss`: the traits that flow.js reads.

    Raises:
        Unportable: the engine cannot repeat what they compute; the message says why.
    """
    layers = _layers_of(decoder)
    kind = _kind_of(loss)
    _check_repeats(decoder, layers)
    return {
        "layers": [
            {"inputs": inputs, "outputs": outputs, "activation": layer.activation}
            for layer in layers
            for outputs, inputs in [layer.weight.shape]
        ],
        "weights": b"".join(
            part.float().numpy().tobytes() for layer in layers for part in layer[:2]
        ),
        "loss": kind,
    }


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The arguments of `encode` that determine how a flow is followed from its start."""

    solver: Solver
    flow: Flow = GradientFlow()  # noqa: RUF009 - frozen
    t1: float = math.inf
    max_steps: int = 200


def described(recipe: Recipe) -> dict[str, Any]:
    """Describe a recipe for the engine, in JSON.

    A solver that a view defines names its rule in flow.js in the class attribute `engine_rule`.

    Raises:
        Unportable: the engine does not have this solver or this flow.
    """
    solver, flow, stop = recipe.solver, recipe.flow, recipe.solver.default_stop
    kind = type(solver)
    name = _SOLVERS.get(kind) or vars(kind).get("engine_rule")
    if name is None:
        raise Unportable(f"the browser has no {kind.__name__}")
    if getattr(solver, "steps", None) is not None or getattr(solver, "grid", "linear") != "linear":
        raise Unportable(f"the browser's {kind.__name__} takes equal steps only")
    known = type(flow) in (GradientFlow, NesterovFlow)
    if not (known and isinstance(flow, GradientFlow) and isinstance(flow.rate, (int, float))):
        raise Unportable(f"the browser does not know the flow {flow!r}")
    options = {field.name: getattr(solver, field.name) for field in fields(solver)}  # pyright: ignore[reportArgumentType]
    rules = ("gain_rtol", "energy_slope", "grad_norm", "window")
    return {
        "solver": {"name": name} | {key: _finite(value) for key, value in options.items()},
        "flow": {
            "rate": flow.rate,
            "damping": getattr(flow, "damping", None),
            "eps": getattr(flow, "eps", 0.0),
        },
        "stop": None if stop is None else {rule: getattr(stop, rule) for rule in rules},
        "t1": _finite(recipe.t1),
        "max_steps": recipe.max_steps,
    }


def _layers_of(decoder: Any) -> list[_Layer]:
    """Read a stack of linear layers, the one next to the code first."""
    modules = list(_parts(decoder))
    if not modules or type(modules[0]) not in _LINEAR:
        raise Unportable("the decoder does not begin with a linear layer")
    layers: list[_Layer] = []
    for module in modules:
        if isinstance(module, nn.Linear):
            layers.append(_linear(module))
        elif layers[-1].activation == "none":
            layers[-1] = layers[-1]._replace(activation=_ACTIVATIONS[type(module)])
        else:
            raise Unportable("two activations of the decoder follow each other")
    fits = all(a.weight.shape[0] == b.weight.shape[1] for a, b in pairwise(layers))
    ends = (layers[-1].weight.shape[0],) == tuple(decoder.data_shape)
    if not (fits and ends and layers[0].weight.shape[1] == decoder.latent_dim):
        raise Unportable("the widths of the decoder's layers do not follow from each other")
    return layers


def _parts(module: Any) -> Iterator[nn.Module]:
    """Yield the linear layers and activations of a decoder in their order."""
    kind = type(module)
    if kind in (MLPDecoder, LinearDecoder, Wrapped, nn.Sequential, *_LINEAR, *_ACTIVATIONS):
        _check_plain(module)
    if kind is MLPDecoder:
        yield from _parts(module.layers)
    elif kind is LinearDecoder:
        yield from _parts(module.linear)
    elif kind is Wrapped:
        yield from _parts(module.module)
    elif kind is nn.Sequential:
        for part in module:
            yield from _parts(part)
    elif kind in (*_LINEAR, *_ACTIVATIONS):
        yield module
    else:
        raise Unportable(f"the browser does not know the decoder's {called(module)}")


def _check_plain(module: nn.Module) -> None:
    """Refuse a module that may not compute what its class defines."""
    name = type(module).__name__
    if "forward" in vars(module):
        raise Unportable(f"the decoder's {name} has a forward of its own")
    if any(getattr(module, hooks) for hooks in _HOOKS):
        raise Unportable(f"the decoder's {name} has hooks")
    if getattr(module, "alpha", 1.0) != 1.0:
        raise Unportable("the browser's ELU has alpha 1")


def _linear(module: nn.Linear) -> _Layer:
    if module.weight.dtype not in (torch.float32, torch.float64):
        raise Unportable(f"the decoder computes in {module.weight.dtype}")
    weight = module.weight.detach().cpu()
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach().cpu()
    return _Layer(weight, bias)


def _kind_of(given: AnyLoss | None) -> dict[str, Any]:
    """Describe a loss by its name and its numbers."""
    loss: Any = Bernoulli() if given is None else given
    if type(loss) is Bernoulli:
        return {"name": "bernoulli", "reduction": loss.reduction, "variance": 1.0}
    if type(loss) is Gaussian:
        variance = loss.variance
        numbers = list(variance) if isinstance(variance, tuple) else variance
        return {"name": "gaussian", "reduction": loss.reduction, "variance": numbers}
    raise Unportable(f"the browser does not know the loss {called(loss)}")


def _check_repeats(decoder: Any, layers: list[_Layer]) -> None:
    """Refuse a decoder whose output or gradient differs from that of the layers at random codes.

    The tolerance, one ten-thousandth, is the accuracy that the engine promises; rounding errors are
    far smaller.
    """
    weight = layers[0].weight
    random = torch.Generator().manual_seed(0)
    z = torch.randn(2, weight.shape[1], generator=random).to(weight)
    pull = torch.randn(2, len(layers[-1].bias), generator=random).to(weight)

    def repeated(z: Tensor) -> Tensor:
        for layer in layers:
            z = layer(z)
        return z

    device = next(decoder.parameters()).device
    results = [_with_gradient(repeated, z, pull)]
    results.append(_with_gradient(decoder, z.to(device), pull.to(device)))
    for own, its in zip(*results, strict=True):
        scale = its.abs().max()
        same = own.shape == its.shape and bool(((own - its.cpu()).abs() <= 1e-4 * scale).all())
        if not same:
            raise Unportable("the decoder computes something else than its layers say")


def _with_gradient(decoder: Any, z: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output of a decoder, and the gradient of (output x pull) summed, in the codes."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = z.clone().requires_grad_()
        output = decoder(leaf)
        (gradient,) = torch.autograd.grad((output * pull).sum(), leaf)
    return output.detach(), gradient


def _finite(value: Any) -> Any:
    """Turn infinity, which JSON does not have, into None."""
    return None if isinstance(value, float) and math.isinf(value) else value
