"""A model in a file is the model that was saved, to the bit, or it is refused in words."""

import copy
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import gfe_core as gfe
from gfe_core.decoders import grid
from gfe_core.scale.parallel import PartOfBatches
from gfe_core.scale.ranks import Rank
from gfe_core.scale.rows import Rows


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kit_decoders() -> dict[str, Any]:
    image = {"latent_dim": 3, "image_shape": (5, 7), "generator": source()}
    siren = gfe.SirenDecoder(**image, hidden=(6, 5), w0=12.0)
    return {
        "mlp": gfe.MLPDecoder(latent_dim=3, hidden=(7, 11), data_dim=12, generator=source()),
        "mlp of one layer": gfe.MLPDecoder(latent_dim=3, hidden=(), data_dim=9),
        "mlp with a shape": gfe.MLPDecoder(
            latent_dim=3, hidden=[5], data_dim=12, image_shape=(3, 4), generator=source()
        ),
        "linear": gfe.LinearDecoder(latent_dim=3, data_dim=12, generator=source()),
        "linear without bias": gfe.LinearDecoder(latent_dim=3, data_dim=16, bias=False),
        "invertible": gfe.InvertibleDecoder(
            latent_dim=3, data_dim=9, n_layers=2, generator=source()
        ),
        "conv": gfe.ConvDecoder(**image, channels=(4, 3)),
        "transposed": gfe.TransposedConvDecoder(**image, channels=(4, 3)),
        "siren": siren,
        "siren elsewhere": siren.at(torch.tensor([[0.0, 0.5], [-0.2, 0.1]])),
        "siren at another size": siren.at(grid(4, 6), image_shape=(4, 6)),
        "double": gfe.MLPDecoder(latent_dim=3, hidden=(7,), data_dim=12).double(),
        "half": gfe.MLPDecoder(latent_dim=3, hidden=(7,), data_dim=12).half(),
    }


def codes(decoder: Any, n: int = 5) -> Tensor:
    weight = next(decoder.parameters())
    return torch.randn(n, decoder.latent_dim, generator=source(1)).to(weight)


def same_function(one: Any, other: Any) -> bool:
    z = codes(one)
    with torch.no_grad():
        return torch.equal(one(z), other(z))


@pytest.mark.parametrize("name", kit_decoders())
def test_decoder_of_the_kit_comes_back_to_the_bit(tmp_path, name):
    decoder = kit_decoders()[name]
    state = torch.get_rng_state()
    path = gfe.save(tmp_path / "folder" / "model.pt", decoder)
    model = gfe.load(path)
    again: Any = model.decoder
    assert torch.equal(torch.get_rng_state(), state), "files draw no random numbers"
    assert type(again) is type(decoder) and same_function(decoder, again)
    assert again.data_shape == model.data_shape == decoder.data_shape
    assert (again.latent_dim, again.image_shape) == (decoder.latent_dim, decoder.image_shape)
    assert [p.dtype for p in again.parameters()] == [p.dtype for p in decoder.parameters()]
    assert all(p.requires_grad for p in again.parameters())
    assert same_function(again, gfe.load(gfe.save(path, again)).decoder), "and again"


SAVED = """
import sys, torch
import gfe_core as gfe
model = gfe.load(sys.argv[1])
enc = gfe.encode(model.decoder, model.scaled(torch.load(sys.argv[2])), loss=model.loss)
torch.save({"z": enc.z, "energy": enc.energy, "drawn": model.unscaled(
    gfe.reconstruct(model.decoder, enc.z, model.loss))}, sys.argv[3])
"""


@pytest.mark.slow
def test_new_process_encodes_new_samples_in_three_lines_to_the_same_bit(tmp_path):
    x = 20 + 3 * torch.rand(40, 6, generator=source())
    scaling = {"mean": x[:30].mean(0), "scale": x[:30].std(0)}
    loss = gfe.Gaussian(variance=0.3)
    scaled = ((x.double() - scaling["mean"]) / scaling["scale"]).float()
    decoder = gfe.MLPDecoder(latent_dim=2, hidden=(16,), data_dim=6, generator=source())
    gfe.fit(decoder, gfe.data.Batches(scaled[:30], size=10), loss=loss, epochs=3)
    path = gfe.save(tmp_path / "model.pt", decoder, loss=loss, scaling=scaling)
    torch.save(x[30:], tmp_path / "new.pt")
    command = [sys.executable, "-c", SAVED, path, tmp_path / "new.pt", tmp_path / "found.pt"]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    root = str(Path(gfe.__file__).parents[1])
    subprocess.run(command, check=True, env=os.environ | threads | {"PYTHONPATH": root})
    found = torch.load(tmp_path / "found.pt")
    enc = gfe.encode(decoder, scaled[30:], loss=loss)
    assert torch.equal(found["z"], enc.z) and torch.equal(found["energy"], enc.energy)
    mean, scale = (scaling[name].double() for name in ("mean", "scale"))
    drawn = gfe.reconstruct(decoder, enc.z, loss).double() * scale + mean
    assert torch.equal(found["drawn"], drawn.float())


@pytest.mark.parametrize(
    "loss", [None, gfe.Bernoulli(reduction="sum"), gfe.Gaussian(variance=1 / 3, reduction="sum")]
)
def test_loss_comes_back_with_its_fields(tmp_path, loss):
    path = gfe.save(tmp_path / "model.pt", gfe.LinearDecoder(latent_dim=2, data_dim=3), loss=loss)
    assert gfe.load(path).loss == (loss or gfe.Bernoulli())


@dataclass(frozen=True)
class Huber(gfe.Gaussian):
    """A loss of a user's own, with a field that is a tensor."""

    width: float = 1.0
    weight: Tensor | None = None


class Counted(gfe.Bernoulli):
    """A loss with a state that no file can hold."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "seen", [])


def test_loss_of_ones_own_is_named_and_built_by_its_class(tmp_path):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    loss = Huber(variance=2.0, width=0.5, weight=torch.tensor([1.0, 2.0]))
    path = gfe.save(tmp_path / "model.pt", decoder, loss=loss)
    with pytest.raises(ValueError, match=r"with the loss Huber.*gfe.load\(path, loss=Huber\)"):
        gfe.load(path)
    again: Any = gfe.load(path, loss=Huber).loss
    assert (again.variance, again.width) == (2.0, 0.5)
    assert torch.equal(again.weight, loss.weight)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`loss` must build a Huber, .* got a Gaussian"):
        gfe.load(path, loss=lambda **_: gfe.Gaussian())
    path = gfe.save(tmp_path / "model.pt", decoder, loss=Counted())
    assert type(gfe.load(path, loss=lambda **_: Counted()).loss) is Counted


class MyNet(nn.Module):
    """A stranger's decoder, of images in colour."""

    latent_dim: int = 4
    data_shape: tuple[int, ...] = (3, 4, 4)

    def __init__(self, activation: Callable[[Tensor], Tensor] = torch.tanh) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 48)
        self.activation = activation

    def forward(self, z: Tensor) -> Tensor:
        hidden = self.activation(self.norm(self.first(z)))
        return self.last(hidden).unflatten(1, (3, 4, 4))


def trained() -> MyNet:
    net = MyNet()
    net(torch.randn(64, 4, generator=source()))  # its statistics
    return net.eval()


def test_module_of_ones_own_comes_back_by_a_function_that_builds_it(tmp_path):
    net = trained()
    path = gfe.save(tmp_path / "model.pt", net, loss=gfe.Gaussian())
    for build in (MyNet, lambda: MyNet().double(), lambda: MyNet().eval()):
        model = gfe.load(path, decoder=build)
        assert same_function(net, model.decoder) and model.data_shape == (3, 4, 4)
        x = torch.rand(5, 3, 4, 4, generator=source())
        expected = gfe.encode(net, x, loss=gfe.Gaussian()).z
        assert torch.equal(gfe.encode(model.decoder, x, loss=model.loss).z, expected)
    with pytest.raises(ValueError, match=r"weights of MyNet, .*gfe.load\(path, decoder=lambda:"):
        gfe.load(path)


class Wider(MyNet):
    data_shape: tuple[int, ...] = (3, 4, 5)


def without_norm() -> MyNet:
    net = MyNet()
    del net.norm
    return net


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: MyNet(torch.relu), ValueError, "has the weights of .* but computes something els"),
        (Wider, ValueError, r"builds .* data_shape \(4, \(3, 4, 5\)\), but .* one of \(4, \(3, 4,"),
        (without_norm, ValueError, r"`norm.weight` is absent here and \(8,\) in the file"),
        (trained(), TypeError, "must be a function that builds the module, got a module. Pass"),
        (3, TypeError, "must be a function that builds the module, got int"),
        (lambda: 3, TypeError, "must build a torch.nn.Module, got int"),
        (lambda: nn.Linear(4, 48), TypeError, "`decoder` must have `latent_dim`"),
    ],
)
def test_function_that_builds_something_else_is_refused(
    tmp_path, build, error, message, unchecked: None
):
    path = gfe.save(tmp_path / "model.pt", trained())
    with pytest.raises(error, match=message):
        gfe.load(path, decoder=build)


def test_wrapped_module_comes_back_by_a_function_for_it_or_for_what_it_holds(tmp_path):
    def build() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Unflatten(1, (3, 4)))

    decoder = gfe.wrap(build(), latent_dim=4, data_shape=(3, 4))
    path = gfe.save(tmp_path / "model.pt", decoder)
    assert same_function(decoder, gfe.load(path, decoder=build).decoder)
    wrapped = gfe.load(
        path, decoder=lambda: gfe.wrap(build(), latent_dim=4, data_shape=(3, 4))
    ).decoder
    assert same_function(decoder, wrapped)


def test_function_whose_weights_a_file_cannot_hold_is_refused_when_they_are_others(tmp_path):
    def build(seed: int) -> Any:
        weight = torch.randn(4, 12, generator=source(seed))
        return gfe.wrap(lambda z: z @ weight, latent_dim=4, data_shape=(12,))

    path = gfe.save(tmp_path / "model.pt", build(0))
    assert gfe.load(path, decoder=lambda: build(0)).data_shape == (12,)
    with pytest.raises(ValueError, match="computes something else: at a code of length 1 its"):
        gfe.load(path, decoder=lambda: build(1))


def test_compiled_decoder_is_saved_as_the_one_that_was_compiled(tmp_path):
    decoder = kit_decoders()["mlp"]
    compiled_one: Any = torch.compile(decoder, backend="eager")
    path = gfe.save(tmp_path / "model.pt", compiled_one)
    assert same_function(decoder, gfe.load(path).decoder)
    inner = nn.Linear(4, 12)
    compiled = gfe.wrap(torch.compile(inner, backend="eager"), latent_dim=4, data_shape=(12,))
    path = gfe.save(path, compiled)
    assert same_function(compiled, gfe.load(path, decoder=lambda: nn.Linear(4, 12)).decoder)


def replaced_activation(decoder: Any) -> None:
    decoder.layers[1] = nn.Tanh()


def hook(decoder: Any) -> None:
    decoder.register_forward_hook(lambda module, z, output: 2 * output)


def parametrised(decoder: Any) -> None:
    nn.utils.parametrizations.weight_norm(decoder.layers[0])


@pytest.mark.parametrize("change", [replaced_activation, hook, parametrised])
def test_decoder_that_its_arguments_do_not_build_is_refused_before_a_file_is_there(
    tmp_path, change
):
    decoder = kit_decoders()["mlp"]
    change(decoder)
    with pytest.raises(ValueError, match=r"is a MLPDecoder, but its arguments and .*gfe.wrap"):
        gfe.save(tmp_path / "model.pt", decoder)
    assert list(tmp_path.iterdir()) == []
    wrapped = gfe.wrap(decoder, latent_dim=3, data_shape=(12,))
    path = gfe.save(tmp_path / "model.pt", wrapped)

    def build() -> Any:
        fresh = kit_decoders()["mlp"]
        change(fresh)
        return fresh

    assert same_function(wrapped, gfe.load(path, decoder=build).decoder)


def relu_up_to_6(decoder: Any) -> None:
    decoder.layers[1] = nn.ReLU6()


def clamp_of_long_codes(decoder: Any) -> None:
    decoder.register_forward_pre_hook(lambda module, given: (given[0].clamp(-1e3, 1e3),))


def clamp_of_a_layer(decoder: Any) -> None:
    decoder.layers[0].register_forward_hook(lambda module, given, output: output.clamp(max=1e6))


def slope_times_two(decoder: Any) -> None:
    decoder.layers[2].register_full_backward_hook(lambda module, given, made: (2 * given[0],))


def own_forward(decoder: Any) -> None:
    forward = decoder.forward
    decoder.forward = lambda z: forward(z.clamp(-1e3, 1e3))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (relu_up_to_6, "`layers.1` is ReLU6 in place of ReLU"),
        (clamp_of_long_codes, "`decoder` has a forward pre-hook"),
        (clamp_of_a_layer, "`layers.0` has a forward hook"),
        (slope_times_two, "`layers.2` has a backward hook"),
        (own_forward, "`decoder` has a `forward` of its own"),
    ],
)
def test_change_that_shows_at_some_codes_only_is_refused(tmp_path, change, what):
    decoder = gfe.MLPDecoder(
        latent_dim=3, hidden=(7,), data_dim=12, activation="relu", generator=source()
    )
    with torch.no_grad():
        for weight in decoder.parameters():
            weight *= 0.01  # so that ReLU6 agrees with ReLU at any code of length 100
    gfe.save(tmp_path / "plain.pt", decoder)
    change(decoder)
    with pytest.raises(ValueError, match=f"{what}. Remove hooks that only observe"):
        gfe.save(tmp_path / "model.pt", decoder)
    assert not (tmp_path / "model.pt").exists()


def test_compiled_layers_of_a_decoder_of_the_kit_are_saved_as_what_was_compiled(tmp_path):
    decoder, plain = kit_decoders()["mlp"], kit_decoders()["mlp"]
    decoder.layers[1].inplace = True
    decoder.layers = torch.compile(decoder.layers, backend="eager")
    assert same_function(plain, gfe.load(gfe.save(tmp_path / "m.pt", decoder)).decoder)


@pytest.mark.parametrize(("limit", "length"), [(5.0, 10), (50.0, 100)])
def test_function_that_builds_a_decoder_which_parts_at_long_codes_is_refused(
    tmp_path, limit, length
):
    def build(limit: float) -> Any:
        layer = nn.Linear(2, 3, bias=False)
        nn.init.constant_(layer.weight, 0.5)
        held = nn.Sequential(nn.Hardtanh(-limit, limit), layer)
        return gfe.wrap(held, latent_dim=2, data_shape=(3,))

    path = gfe.save(tmp_path / "model.pt", build(torch.inf))
    gfe.load(path, decoder=lambda: build(1e3))
    with pytest.raises(ValueError, match=f"something else: at a code of length {length} "):
        gfe.load(path, decoder=lambda: build(limit))


def test_decoder_of_short_codes_alone_is_saved(tmp_path):
    class Near(gfe.LinearDecoder):
        def forward(self, z: Tensor) -> Tensor:
            if (z.norm(dim=1) > 2).any():
                raise ValueError("outside of the table")
            return super().forward(z)

    def build() -> Near:
        return Near(latent_dim=2, data_dim=3)

    decoder = build()
    path = gfe.save(tmp_path / "model.pt", decoder)
    z = torch.full((1, 2), 0.1)
    again: Any = gfe.load(path, decoder=build).decoder
    assert torch.equal(decoder(z), again(z))


def test_frequent_sines_of_long_codes_come_back_however_they_are_rounded(tmp_path):
    siren = gfe.SirenDecoder(
        latent_dim=2, hidden=(64,) * 4, image_shape=(7, 7), w0=600.0, generator=source()
    )
    with torch.no_grad():
        list(siren.parameters())[-2].mul_(siren.w0)  # as after training: outputs of unit size
    path = gfe.save(tmp_path / "model.pt", siren)
    content = torch.load(path)
    exact: Any = gfe.load(path).decoder
    with torch.no_grad():  # as a machine that rounds otherwise would have written it
        exact = copy.deepcopy(exact).double()
        content["probe"]["output"] = exact(content["probe"]["z"].double()).float()
    torch.save(content, path)
    gfe.load(path)


def test_subclass_of_a_decoder_of_the_kit_is_a_strangers(tmp_path):
    class Twice(gfe.LinearDecoder):
        def forward(self, z: Tensor) -> Tensor:
            return 2 * super().forward(z)

    path = gfe.save(tmp_path / "model.pt", Twice(latent_dim=2, data_dim=3))
    with pytest.raises(ValueError, match="weights of Twice, which is not a decoder of the kit"):
        gfe.load(path)
    with pytest.raises(ValueError, match="computes something else"):
        gfe.load(path, decoder=lambda: gfe.LinearDecoder(latent_dim=2, data_dim=3))
    gfe.load(path, decoder=lambda: Twice(latent_dim=2, data_dim=3))


def test_card_and_classes_come_back_as_plain_values(tmp_path):
    card = {
        "data": "stones.csv",
        "energies": [np.float32(0.5), torch.tensor(2)],
        "settings": {"epochs": 4, "shape": (2, 3), "note": None, "shuffled": np.bool_(True)},
    }
    path = gfe.save(
        tmp_path / "model.pt",
        gfe.LinearDecoder(latent_dim=2, data_dim=3),
        card=card,
        classes=["granite", "basalt"],
    )
    model = gfe.load(path)
    assert model.card == {
        "data": "stones.csv",
        "energies": [0.5, 2],
        "settings": {"epochs": 4, "shape": (2, 3), "note": None, "shuffled": True},
    }
    assert [type(value) for value in model.card["energies"]] == [float, int]
    assert model.classes == ("granite", "basalt")
    assert repr(model) == (
        "Model(LinearDecoder(latent_dim=2, data_shape=(3,)), Bernoulli(reduction='mean'); "
        "card: data, energies, settings; 2 classes)"
    )


@pytest.mark.parametrize(
    ("scaling", "mean", "scale"),
    [
        ({"mean": 2, "scale": 4.0}, [2.0] * 3, [4.0] * 3),
        ({"scale": np.array([1.0, 2.0, 4.0])}, [0.0] * 3, [1.0, 2.0, 4.0]),
        ({"mean": [1.0, 2.0, 3.0]}, [1.0, 2.0, 3.0], [1.0] * 3),
        ({"mean": torch.ones(3, dtype=torch.float16)}, [1.0] * 3, [1.0] * 3),
    ],
)
def test_scaling_is_applied_and_undone(tmp_path, scaling, mean, scale):
    path = tmp_path / "model.pt"
    gfe.save(path, gfe.LinearDecoder(latent_dim=2, data_dim=3), scaling=scaling)
    model = gfe.load(path)
    x = torch.tensor([[1.0, 5.0, -3.0], [0.0, 8.0, 2.0]])
    expected = (x - torch.tensor(mean)) / torch.tensor(scale)
    assert torch.equal(model.scaled(x), expected) and model.scaled(x).dtype == torch.float32
    assert torch.allclose(model.unscaled(model.scaled(x)), x)
    assert model.scaled(x.double()).dtype == torch.float32, "as the decoder takes it"
    assert torch.equal(model.scaled(x.numpy()), expected)
    plain = gfe.load(gfe.save(path, gfe.LinearDecoder(latent_dim=2, data_dim=3)))
    assert plain.scaling is None
    assert torch.equal(plain.scaled(x), x) and torch.equal(plain.unscaled(x), x)


def test_data_far_from_zero_keep_what_varies(tmp_path):
    far = 1e7 + 0.4  # float32 steps by 1 there
    varying = torch.tensor([[0.0, 1.0], [-1.0, 0.5]], dtype=torch.float64)
    x = far + 0.3 * varying
    path = gfe.save(
        tmp_path / "m.pt",
        gfe.LinearDecoder(latent_dim=1, data_dim=2),
        scaling={"mean": far, "scale": [0.3, 0.3]},
    )
    model = gfe.load(path)
    for given in (x, x.numpy(), pd.DataFrame(x.numpy())):
        scaled = model.scaled(given)
        assert scaled.dtype == torch.float32
        # float64 has 16 digits: 1e-9 of 1e7, in units of 0.3
        torch.testing.assert_close(scaled.double(), varying, rtol=1e-6, atol=1e-8)
    back = model.unscaled(varying.float())
    assert back.dtype == torch.float64 and torch.allclose(back, x, rtol=0, atol=1e-7)


def test_scaled_takes_tables_by_their_names_and_in_the_shape_of_a_sample(tmp_path):
    decoder = gfe.wrap(
        nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (2, 2))), latent_dim=2, data_shape=(2, 2)
    )
    mean = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    scaling = {"mean": mean, "scale": 2.0}
    path = gfe.save(tmp_path / "m.pt", decoder, scaling=scaling, names=list("abcd"))
    model = gfe.load(path, decoder=lambda: decoder)
    frame = pd.DataFrame([[1.0, 4.0, 3.0, None]], columns=list("abcd"))
    expected = torch.tensor([[[0.0, 1.0], [0.0, torch.nan]]])
    for given in (frame, frame.convert_dtypes(), gfe.data.DataSet.of(frame)):
        assert torch.equal(model.scaled(given).nan_to_num(9.0), expected.nan_to_num(9.0))
    with pytest.raises(ValueError, match="`x` has the features of the model in another order") as e:
        model.scaled(frame[list("abdc")])
    line = str(e.value).split("in their order: `")[1].split("`")[0]
    selected = eval(line, {"frame": frame[list("abdc")]})
    assert torch.equal(model.scaled(selected).nan_to_num(9.0), expected.nan_to_num(9.0))
    with pytest.raises(
        ValueError, match=r"it is missing 'd' and .*\. Rename or add the missing col"
    ):
        model.scaled(frame.rename(columns={"d": "e"}))
    with pytest.raises(ValueError, match=r"`x` must have shape \(batch, 2, 2\).*x.reshape\(-1, 2"):
        model.scaled(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"`x` must have shape \(batch, 2, 2\)"):
        model.scaled(torch.zeros(5, 2, 1)[..., 0][:, :, None])


def test_loaded_decoder_refuses_tables_in_another_order(tmp_path):
    plain = gfe.LinearDecoder(latent_dim=1, data_dim=2)
    path = gfe.save(tmp_path / "m.pt", plain, loss=gfe.Gaussian(), names=["a", "b"])
    model = gfe.load(path)
    frame = pd.DataFrame({"a": [0.1, 0.5], "b": [0.3, 0.2]})
    swapped = frame[["b", "a"]]
    decoder: Any = model.decoder
    z = gfe.encode(decoder, frame, loss=model.loss).z
    assert torch.equal(gfe.encode(model.decoder, frame.to_numpy(), loss=model.loss).z, z)
    unnamed = pd.DataFrame(frame.to_numpy())
    assert torch.equal(gfe.encode(model.decoder, unnamed, loss=model.loss).z, z)
    for verb in (gfe.encode, gfe.encode_observed, gfe.evaluate):
        verb(plain, swapped, loss=model.loss)
        for x in (swapped, gfe.data.DataSet.of(swapped)):
            with pytest.raises(ValueError, match="`x` has the features of the model in another"):
                verb(decoder, x, loss=model.loss)
    again = gfe.load(gfe.save(tmp_path / "again.pt", copy.deepcopy(decoder)))
    assert again.names == ("a", "b")


def test_batches_keep_the_names_of_their_table(tmp_path, unchecked: None):
    plain = gfe.LinearDecoder(latent_dim=1, data_dim=2)
    model = gfe.load(gfe.save(tmp_path / "m.pt", plain, loss=gfe.Gaussian(), names=["a", "b"]))
    decoder: Any = model.decoder
    frame = pd.DataFrame({"a": [0.1, 0.5], "b": [0.3, 0.2]})
    z = gfe.encode(decoder, gfe.data.Batches(frame, size=1), loss=model.loss).z  # pyright: ignore[reportArgumentType]
    assert torch.equal(z, gfe.encode(decoder, frame, loss=model.loss).z)
    for table in (frame[["b", "a"]], gfe.data.DataSet.of(frame[["b", "a"]])):
        swapped = gfe.data.Batches(table, size=1)
        part = PartOfBatches(swapped, Rank(number=0, n=1))
        for verb in (partial(gfe.encode, decoder), partial(gfe.fit, decoder), model.scaled):
            for batches in (swapped, part, gfe.data.Batches(swapped, size=1)):  # pyright: ignore[reportArgumentType]
                with pytest.raises(ValueError, match="has the features of the model in another"):
                    verb(batches)  # pyright: ignore[reportArgumentType]


def test_frame_may_have_columns_called_like_what_data_sets_hold(tmp_path):
    names = ["x", "features", "image_shape"]
    decoder = gfe.LinearDecoder(latent_dim=1, data_dim=3)
    model = gfe.load(gfe.save(tmp_path / "m.pt", decoder, loss=gfe.Gaussian(), names=names))
    frame = pd.DataFrame(torch.rand(2, 3).numpy(), columns=names)
    scaled = model.scaled(frame)
    assert torch.equal(scaled, torch.tensor(frame.to_numpy()))
    assert Rows.of(frame).image_shape is None and Rows.of(frame).features == (*names,)


@pytest.mark.parametrize("x", [torch.ones(2, 3).int(), np.ones((2, 3), np.uint8), "digits"])
def test_scaled_refuses_what_holds_no_floats(tmp_path, x, unchecked: None):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    model = gfe.load(gfe.save(tmp_path / "m.pt", decoder, scaling={"mean": 0.5}))
    with pytest.raises(TypeError, match="`x` must .*(Convert|Load) it"):
        model.scaled(x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scaling": {"std": 1.0}}, TypeError, r"`scaling` must be .*got \['std'\]"),
        ({"scaling": (0, 1)}, TypeError, "`scaling` must be a dict.*got "),
        ({"scaling": {"mean": [1, 2]}}, ValueError, r"'mean' must be a number or fit .* \(3,\), g"),
        ({"scaling": {"mean": [[1, 2, 3]]}}, ValueError, r"got shape \(1, 3\)"),
        ({"scaling": {"scale": [1, 0, 1]}}, ValueError, "'scale' must be positive. A feature that"),
        ({"scaling": {"mean": float("nan")}}, ValueError, "'mean' must be finite"),
        ({"classes": "abc"}, TypeError, "`classes` must be a list, got 'abc'"),
        ({"classes": [0, 1]}, TypeError, "`classes` must be names"),
        ({"card": "mine"}, TypeError, "`card` must be a dict with names, got 'mine'"),
        ({"card": {"path": Path("x")}}, TypeError, r"`card\['path'\]` must be plain .*`str\("),
        ({"card": {"a": [{"b": torch.ones(2)}]}}, TypeError, r"`card\['a'\]\[0\]\['b'\]` must be"),
        ({"card": {1: 2}}, TypeError, "`card` must have strings as keys, got 1"),
        ({"loss": gfe.Bernoulli}, TypeError, "`loss` must be an object.* got the class"),
        ({"loss": "bernoulli"}, TypeError, "`loss` must be an object.* got 'bernoulli'"),
        ({"decoder": lambda z: z}, TypeError, "must be a torch.nn.Module, got function.*gfe.wrap"),
        ({"decoder": nn.Linear(2, 3)}, TypeError, "`decoder` must have `latent_dim`"),
        ({"decoder": MyNet()}, ValueError, "BatchNorm1d .* in training mode.*decoder.eval()"),
    ],
)
def test_what_no_file_can_hold_is_refused_and_no_file_is_there(
    tmp_path, arguments, error, message, unchecked: None
):
    decoder = arguments.get("decoder", gfe.LinearDecoder(latent_dim=2, data_dim=3))
    others = {name: value for name, value in arguments.items() if name != "decoder"}
    with pytest.raises(error, match=message):
        gfe.save(tmp_path / "model.pt", decoder, **others)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_models_are_refused_with_what_to_do(tmp_path):
    path = tmp_path / "file.pt"
    with pytest.raises(FileNotFoundError, match=r"file.pt does not exist. Save a model first: `gf"):
        gfe.load(path)
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    gfe.save_checkpoint(path, decoder=decoder)
    with pytest.raises(ValueError, match=r"is a checkpoint of training.*gfe.load_checkpoint"):
        gfe.load(path)
    for content in ({"a": torch.zeros(2)}, [1], None):
        torch.save(content, path)
        with pytest.raises(ValueError, match="is not a model of gfe_core. Pass a file written by"):
            gfe.load(path)
    gfe.save(path, decoder)
    with pytest.raises(ValueError, match="is not a gfe_core checkpoint of format 1"):
        gfe.load_checkpoint(path, decoder=decoder)
    content = torch.load(path)
    torch.save(content | {"version": 2}, path)
    with pytest.raises(ValueError, match="written by a newer gfe_core .*Update gfe_core"):
        gfe.load(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_damaged_file_is_refused(tmp_path, share):
    path = gfe.save(tmp_path / "model.pt", kit_decoders()["mlp"])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"is damaged or no model .*Save it again, or restore a"):
        gfe.load(path)


class Evil:
    """Something that writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_code_in_a_file_is_not_executed(tmp_path):
    path = gfe.save(tmp_path / "model.pt", kit_decoders()["mlp"])
    trace = tmp_path / "trace"
    torch.save(torch.load(path) | {"card": Evil(trace)}, path)
    with pytest.raises(ValueError, match="is damaged or no model"):
        gfe.load(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file of this test is harmless"


def test_file_is_written_by_the_one_writer(tmp_path):
    link = tmp_path / "link.pt"
    link.symlink_to(tmp_path / "model.pt")
    before = os.umask(0o027)
    try:
        assert gfe.save(link, kit_decoders()["linear"]) == link
    finally:
        os.umask(before)
    assert link.is_symlink() and stat.S_IMODE((tmp_path / "model.pt").stat().st_mode) == 0o640
    assert len(list(tmp_path.iterdir())) == 2


class Robust:
    """A loss that is no dataclass: its settings cannot be read from it."""

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def per_sample(self, output: Any, x: Any, mask: Any = None) -> Any:
        return torch.nn.functional.huber_loss(output, x, reduction="none", delta=self.delta).mean(1)


def test_a_loss_that_lost_its_settings_is_refused(tmp_path):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    path = gfe.save(tmp_path / "model.pt", decoder, loss=Robust(0.01))
    with pytest.raises(ValueError, match="whose energies differ from those of the one saved"):
        gfe.load(path, loss=Robust)
    gfe.save(path, decoder, loss=Robust(20.0))  # beyond what outputs of unit size show
    with pytest.raises(ValueError, match="whose energies differ from those of the one saved"):
        gfe.load(path, loss=lambda **_: Robust(40.0))
    gfe.save(path, decoder, loss=Robust(0.01))
    again: Any = gfe.load(path, loss=lambda **_: Robust(0.01)).loss
    assert again.delta == 0.01


class Conditional(nn.Module):
    """A decoder of codes beside a context, whose gain is neither a weight nor a buffer."""

    def __init__(self, gain: float, n_axes: int) -> None:
        super().__init__()
        self.latent_dim, self.data_shape = 2, (4,)
        self.layer = nn.Linear(3, 4)
        self.gain, self.n_axes = gain, n_axes

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        if context.dim() != self.n_axes:
            raise ValueError("another context")
        return self.gain * self.layer(torch.cat([z, context.reshape(-1, 1)], 1))


class Optional(Conditional):
    """One that does without a context, to which its gain belongs."""

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            return self.layer(torch.cat([z, z[:, :1]], 1))
        return super().forward(z, context)


class Labelled(Conditional):
    """One of labels."""

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        return super().forward(z, nn.functional.one_hot(context, 3).sum(1))


@pytest.mark.parametrize(
    ("kind", "n_axes"), [(Conditional, 2), (Conditional, 1), (Optional, 2), (Labelled, 1)]
)
def test_conditional_decoder_with_another_constant_is_refused(tmp_path, kind, n_axes):
    path = gfe.save(tmp_path / "model.pt", kind(3.0, n_axes), loss=gfe.Gaussian())
    gfe.load(path, decoder=lambda: kind(3.0, n_axes))
    with pytest.raises(ValueError, match="computes something else"):
        gfe.load(path, decoder=lambda: kind(1.0, n_axes))


class Choosy:
    """Squares times a constant, for data and outputs of one kind alone."""

    def __init__(self, k: float, lowest: float = -torch.inf, positive: bool = False) -> None:
        self.k, self.lowest, self.positive = k, lowest, positive

    def per_sample(self, output: Any, x: Any, mask: Any = None) -> Any:
        if (x < self.lowest).any():
            raise ValueError(f"counts from {self.lowest}")
        seen = output.log() if self.positive else output
        return self.k * (seen - x).square().mean(1)


class Hinted(Choosy):
    """One that needs a context."""

    def per_sample(self, output: Any, x: Any, mask: Any = None, *, context: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().per_sample(output, x) * context[:, 0]


class Helped(Choosy):
    """One whose constant belongs to a context that may be left out."""

    def per_sample(self, output: Any, x: Any, mask: Any = None, context: Any = None) -> Any:
        plain = (output - x).square().mean(1)
        return plain if context is None else super().per_sample(output, x) * context


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Choosy, {"lowest": 1.0}),
        (Choosy, {"positive": True}),
        (Choosy, {"lowest": 1.0, "positive": True}),
        (Hinted, {}),
        (Helped, {}),
    ],
)
def test_loss_of_few_data_or_of_a_context_with_another_constant_is_refused(tmp_path, kind, given):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    path = gfe.save(tmp_path / "model.pt", decoder, loss=kind(3.0, **given))
    gfe.load(path, loss=lambda **_: kind(3.0, **given))
    with pytest.raises(ValueError, match="energies differ from those of the one saved"):
        gfe.load(path, loss=lambda **_: kind(1.0, **given))


def test_save_says_that_load_cannot_compare_what_could_not_be_tried(tmp_path):
    linear = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    with pytest.warns(UserWarning, match="`loss` could not be tried .* `load` cannot tell"):
        path = gfe.save(tmp_path / "model.pt", linear, loss=Choosy(3.0, lowest=200.0))
    gfe.load(path, loss=lambda **_: Choosy(3.0, lowest=200.0))
    with pytest.warns(UserWarning, match="`decoder` could not be tried .* `load` cannot tell"):
        gfe.save(path, Conditional(3.0, n_axes=3), loss=gfe.Gaussian())


@pytest.mark.parametrize("per_channel", [False, True])
def test_scaled_takes_images_of_a_data_set_in_the_shape_of_a_sample(tmp_path, per_channel):
    images = torch.rand(5, 3, 2, 4, generator=source())
    data = gfe.data.DataSet(images.flatten(1), torch.zeros(5), (3, 2, 4), "mine", "all")
    scale = torch.tensor([1.0, 2.0, 4.0])[:, None, None] if per_channel else 2.0
    net = nn.Sequential(nn.Linear(2, 24), nn.Unflatten(1, (3, 2, 4)))
    decoder = gfe.wrap(net, latent_dim=2, data_shape=(3, 2, 4))
    units = {"scale": scale}
    model = gfe.load(
        gfe.save(tmp_path / "m.pt", decoder, scaling=units), decoder=lambda: copy.deepcopy(decoder)
    )
    torch.testing.assert_close(model.scaled(data), images / scale)
    torch.testing.assert_close(model.scaled(images), images / scale)


def test_remedy_of_scaled_fits_what_was_passed():
    decoder = gfe.wrap(nn.Linear(2, 4), latent_dim=2, data_shape=4)
    units = {"mean": torch.zeros(4), "scale": torch.ones(4)}
    model = gfe.Model(decoder, gfe.Gaussian(), (4,), scaling=units)
    with pytest.raises(
        ValueError, match=r"got \(5, 2, 2\). Reshape the samples: `x.reshape\(-1, 4"
    ):
        model.scaled(torch.rand(5, 2, 2))
    with pytest.raises(ValueError, match=r"got \(5, 3\). Pass samples of this shape"):
        model.scaled(gfe.data.DataSet(torch.rand(5, 3), torch.zeros(5), None, "mine", "all"))


@pytest.mark.parametrize("value", [None, "1", 1 + 1j, np.array([1j]), torch.tensor(1j), [None]])
def test_scaling_that_holds_no_real_numbers_is_refused(tmp_path, value):
    decoder = gfe.LinearDecoder(latent_dim=2, data_dim=3)
    with pytest.raises(TypeError, match="`scaling` 'mean' must be a number, or numbers in a list"):
        gfe.save(tmp_path / "model.pt", decoder, scaling={"mean": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sequence", [list, np.array, torch.tensor])
def test_shapes_in_any_sequence_are_saved(tmp_path: Path, sequence: Any, unchecked: None):
    shape = sequence([2, 2])
    for decoder in (
        gfe.MLPDecoder(latent_dim=2, hidden=sequence([3]), data_dim=4, image_shape=shape),
        gfe.LinearDecoder(latent_dim=2, data_dim=4, image_shape=shape),
        gfe.InvertibleDecoder(latent_dim=2, data_dim=4, image_shape=shape),
        gfe.ConvDecoder(latent_dim=2, image_shape=shape, channels=sequence([2])),
        gfe.SirenDecoder(latent_dim=2, hidden=sequence([3]), image_shape=shape),
        gfe.SirenDecoder(latent_dim=2, hidden=(3,), image_shape=(4, 4)).at(
            grid(2, 2), image_shape=shape
        ),
    ):
        loaded: Any = gfe.load(gfe.save(tmp_path / "model.pt", decoder)).decoder
        assert loaded.image_shape == decoder.image_shape == (2, 2)
    unknown = gfe.MLPDecoder(latent_dim=2, hidden=(3,), data_dim=4)
    assert unknown.arguments["image_shape"] is None, "a square that was guessed binds no images"
