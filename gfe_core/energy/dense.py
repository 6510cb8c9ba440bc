"""Hand-written derivatives of a stack of linear layers: the hot path of encoding.

A latent gradient needs no graph and no weight gradients, only each layer's output: the derivative
of an activation is a function of it. Everything here runs on rows of codes; nothing here knows of
data or losses.

Shapes: `batch` rows; `latent` the width of the first layer's input; `features` that of the last
    layer's output.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gfe_core.decoders import LinearDecoder, MLPDecoder
from gfe_core.types import Codes


def _elu(a: Tensor) -> Tensor:
    """ELU by exp instead of expm1, whose vectorised form torch lacks.

    Twelve times faster, equal to rounding of 1.
    """
    return torch.maximum(a, a.clamp(max=0).exp_().sub_(1))


ROWS = 16
"""Decoder calls are padded to a multiple of this.

Matrix kernels for small batches round differently, so that without

padding a code would depend on how many other samples are still flowing. Exact where latent and
layer widths are 2 or multiples of 4; rows of other widths start at unaligned addresses, and their
codes move by rounding.
"""

_Map = Callable[[Tensor], Tensor]
_ACTIVATIONS: dict[type[nn.Module], tuple[_Map, _Map, _Map]] = {
    nn.ELU: (_elu, lambda h: h.clamp(max=0).add_(1), lambda h: (h < 0).to(h.dtype)),
    nn.Tanh: (torch.tanh, lambda h: 1 - h * h, lambda h: -2 * h),
    nn.Sigmoid: (torch.sigmoid, lambda h: h * (1 - h), lambda h: 1 - 2 * h),
    nn.ReLU: (torch.relu, lambda h: (h > 0).to(h.dtype), torch.zeros_like),
}
"""Activation h and, as functions of h, its derivative h' and the derivative of h' in h."""


@dataclass(frozen=True)
class Dense:
    """Linear layers with an activation between each two of them.

    Args:
        weights: (out, in) of each layer, from the latent side on.
        biases: (out,) of each layer, or None.
        activations: kinds of the activations between the layers, one fewer than layers.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]
    activations: tuple[type[nn.Module], ...]

    @staticmethod
    def of(decoder: object) -> "Dense | None":
        """Return the stack that a decoder is, or None for a decoder of any other kind."""
        layers = _layers(decoder)
        linear = layers[::2]
        between = layers[1::2]
        if len(layers) % 2 == 0 or not all(type(layer) is nn.Linear for layer in linear):
            return None
        if not all(
            type(layer) in _ACTIVATIONS and getattr(layer, "alpha", 1.0) == 1.0 for layer in between
        ):
            return None
        weights, biases = (
            [getattr(layer, name) for layer in linear] for name in ("weight", "bias")
        )
        return Dense(tuple(weights), tuple(biases), tuple(type(layer) for layer in between))

    def forward(self, z: Codes) -> list[Tensor]:
        """Outputs of every layer after its activation; the last is the decoder's output."""
        outputs = []
        h = z
        for weight, bias, activation in zip(
            self.weights, self.biases, (*self.activations, None), strict=True
        ):
            h = h @ weight.T if bias is None else torch.addmm(bias, h, weight.T)
            h = h if activation is None else _ACTIVATIONS[activation][0](h)
            outputs.append(h)
        return outputs

    @property
    def parameters(self) -> list[Tensor | None]:
        """Weight and bias of each layer in turn."""
        return [tensor for layer in zip(self.weights, self.biases, strict=True) for tensor in layer]

    def pullback(self, outputs: list[Tensor], cotangent: Float[Tensor, "batch features"]) -> Codes:
        """Product of a row of derivatives in the output with the Jacobian.

        Derivatives in the code.
        """
        for weight, h, kind in zip(
            self.weights[:0:-1], outputs[-2::-1], self.activations[::-1], strict=True
        ):
            cotangent = (cotangent @ weight).mul_(_ACTIVATIONS[kind][1](h))
        return cotangent @ self.weights[0]

    def jacobian(self, outputs: list[Tensor]) -> Float[Tensor, "batch latent features"]:
        """Derivative of the output along every latent axis.

        All tangents ride through each layer as one product.
        """
        tangents = self.weights[0].T.expand(len(outputs[0]), -1, -1)
        for weight, h, kind in zip(self.weights[1:], outputs[:-1], self.activations, strict=True):
            tangents = (tangents * _ACTIVATIONS[kind][1](h)[:, None]) @ weight.T
        return tangents

    def linearised(
        self, z: Codes, outputs: list[Tensor], cotangent: Tensor, curvature: Tensor
    ) -> "Linearised":
        """Pull back once and keep what a second derivative takes.

        `curvature` is the loss's, diagonal in the output.
        """
        slopes = [cotangent]
        for weight, h, kind in zip(
            self.weights[:0:-1], outputs[-2::-1], self.activations[::-1], strict=True
        ):
            slopes.insert(0, (slopes[0] @ weight).mul_(_ACTIVATIONS[kind][1](h)))
        return Linearised(self, [z, *outputs[:-1]], slopes, curvature)


@dataclass(frozen=True)
class Linearised:
    """A latent gradient g that can be differentiated in the code and in the weights.

    Args:
        dense: the layers.
        inputs: of each layer, from the code on.
        slopes: derivative of the energy in each layer's result before its activation.
        curvature: second derivative of the loss in the output.
    """

    dense: Dense
    inputs: list[Tensor]
    slopes: list[Tensor]
    curvature: Tensor

    @property
    def grad(self) -> Codes:
        """The gradient g."""
        return self.slopes[0] @ self.dense.weights[0]

    def pull(self, v: Codes) -> tuple[Codes, list[Tensor]]:
        """Derivatives of the sum of <v, g>.

        In the code, and in every weight and bias, layer by layer.

        They are those of the energy, differentiated once more along z + s v: tangents ride forward,
        then back.
        """
        weights = self.dense.weights
        kinds = self.dense.activations
        tangents = [v]
        bends = [self.curvature]
        for weight, h, slope, kind in zip(
            weights, self.inputs[1:], self.slopes, kinds, strict=False
        ):
            along, (_, first, second) = tangents[-1] @ weight.T, _ACTIVATIONS[kind]
            bends.insert(-1, second(h).mul_(slope).mul_(along))
            tangents.append(along.mul_(first(h)))
        tilt = self.curvature * (tangents[-1] @ weights[-1].T)
        found = []
        for i in range(len(weights))[::-1]:
            found = [
                torch.addmm(tilt.T @ self.inputs[i], self.slopes[i].T, tangents[i]),
                tilt.sum(0),
                *found,
            ]
            tilt = tilt @ weights[i]
            if i:
                tilt = tilt.mul_(_ACTIVATIONS[kinds[i - 1]][1](self.inputs[i])).add_(bends[i - 1])
        return tilt, found


def _layers(decoder: object) -> list[nn.Module]:
    """Modules of a decoder that is a plain stack.

    Subclasses and hooks may do more, so they do not count as one.
    """
    if not isinstance(decoder, MLPDecoder | LinearDecoder) or type(decoder) not in (
        MLPDecoder,
        LinearDecoder,
    ):
        return []
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in decoder.modules())
    layers: list[nn.Module] = (
        [decoder.linear] if isinstance(decoder, LinearDecoder) else list(decoder.layers)
    )
    return [] if hooked else layers


def padded(rows: Tensor) -> Tensor:
    """Append zero rows up to the next multiple of `ROWS`."""
    missing = -len(rows) % ROWS
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows
