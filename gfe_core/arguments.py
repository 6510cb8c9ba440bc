"""Check the arguments of the verbs (`encode`, `fit` and so on) and suggest the line to write.

`in_own_words` checks names, positions and simple types; `made` checks objects. The second half of
the module reads the parameters of functions that the caller passes. `checks` validates values, and
`data.samples` converts data to tensors.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import FunctionType, UnionType
from typing import Any, ParamSpec, TypeVar, get_args, get_origin
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.optim import Optimizer

from gfe_core import checks
from gfe_core.checks import described, require
from gfe_core.types import Loss, Penalty, SaveAt, Stop

P = ParamSpec("P")
R = TypeVar("R")

_WRITE = {
    "loss": ("gfe.Bernoulli()", "gfe.Gaussian()"),
    "flow": ("gfe.GradientFlow()", "gfe.NesterovFlow()"),
    "solver": (
        "gfe.AMD()",
        "gfe.LBFGS()",
        "gfe.BFGS()",
        "gfe.GaussNewton()",
        "gfe.Euler(dt=...)",
        "gfe.RK4(dt=...)",
        "gfe.SemiImplicit(dt=...)",
        "gfe.Dopri5()",
    ),
    "adjoint": ("gfe.Detached()", "gfe.Implicit()", "gfe.DiscreteAdjoint()", "gfe.Unrolled()"),
    "stop": ("gfe.Stop()",),
    "save_at": ("gfe.SaveAt.steps()", "gfe.SaveAt.times([...])"),
}
"""Lines that create each part. If no name is recognised, the first three are suggested."""

_OF_TORCH = {"BCEWithLogitsLoss": "Bernoulli", "BCELoss": "Bernoulli", "MSELoss": "Gaussian"}
"""Losses of torch, and the loss of the kit that replaces each."""

_ELSEWHERE = {
    "lr": (
        "optimizer=torch.optim.Adam(decoder.parameters(), lr=...)",
        "solver=gfe.Euler(dt=...), t1=...",
    ),
    "learning_rate": (
        "optimizer=torch.optim.Adam(decoder.parameters(), lr=...)",
        "solver=gfe.Euler(dt=...), t1=...",
    ),
    "tol": ("stop=gfe.Stop(...)",),
    "atol": ("stop=gfe.Stop(...)",),
    "rtol": ("stop=gfe.Stop(...)",),
    "gtol": ("stop=gfe.Stop(...)",),
    "max_iter": ("max_steps=...", "epochs=..."),
    "n_iter": ("max_steps=...", "epochs=..."),
    "n_steps": ("max_steps=...",),
    "steps": ("max_steps=...", "epochs=..."),
    "n_epochs": ("epochs=...",),
    "batch_size": ("size=...", "batches=gfe.data.Batches(x, size=...)"),
    "criterion": ("loss=...",),
    "loss_fn": ("loss=...",),
    "init": ("z0=...",),
    "prior": ("penalty=...",),
    "scheduler": ("schedule=...",),
    "opt": ("optimizer=...",),
    "method": ("solver=...", "encoder=..."),
    "n_latents": ("latent_dim=...",),
    "latent_size": ("latent_dim=...",),
    "input_dim": ("data_dim=...", "data_shape=..."),
    "hidden_dims": ("hidden=(...,)",),
}
"""Names that other libraries use, and the arguments to suggest if the verb has them."""


def in_own_words(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse unknown, missing and surplus arguments, and arguments of the wrong simple type.

    If an annotation is an int, a float, a bool, a string, a list, a dict, a tensor, a generator or
    a loss (or None), an argument of another type is refused before the function runs. Numbers of
    numpy and torch reach the function as Python's own.

    Example:
        >>> @in_own_words
        ... def fit(decoder: str, *, epochs: int = 1) -> None: ...
        >>> fit("mlp", n_epochs=3)
        Traceback (most recent call last):
        TypeError: `fit` takes no `n_epochs`: write `epochs=...`. It takes `decoder` and, by name, \
`epochs`.
    """
    signature = inspect.signature(function)
    kinds = {name: _kind(one.annotation) for name, one in signature.parameters.items()}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(_misfit(function, signature, args, kwargs) or str(error)) from None
        for name, value in bound.arguments.items():
            check, or_none = kinds[name]
            if check is not None and not (value is None and or_none):
                own = check(name, value)
                bound.arguments[name] = value if own is None else own
        return function(*bound.args, **bound.kwargs)

    return call


def _kind(annotation: Any) -> tuple[Callable[[str, Any], object] | None, bool]:
    """Return the check for a simple annotation (None for others), and whether None is allowed."""
    named = [one for one in get_args(annotation) if one is not type(None)]
    or_none = isinstance(annotation, UnionType) and len(named) < len(get_args(annotation))
    if isinstance(annotation, UnionType):
        if len(named) > 1:
            return None, or_none
        annotation = named[0]
    if getattr(annotation, "array_type", None) is Tensor:  # a jaxtyping annotation
        return checks.array, or_none
    return _CHECKS.get(get_origin(annotation) or annotation), or_none


def _misfit(
    function: Callable[..., Any],
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> str:
    """Describe a wrong name or position in a call; return "" if none is wrong."""
    name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
    known = {n: p for n, p in signature.parameters.items() if n != "self"}
    places = [n for n, p in known.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [n for n, p in known.items() if p.kind is p.KEYWORD_ONLY]
    takes = " and, by name, ".join(_listed(names) for names in (places, by_name) if names)
    unknown = [n for n in kwargs if n not in known]
    n_given = len(args) - ("self" in signature.parameters)
    if unknown:
        line = _line(unknown[0], [*places, *by_name])
        write = f": write `{line}`" if line else ""
        return f"`{name}` takes no `{unknown[0]}`{write}. It takes {takes}."
    if n_given > len(places):
        limit = f"{len(places)} argument{'s' * (len(places) != 1)} without a name"
        line = f"`{name}({', '.join([*places, f'{by_name[0]}=...'])})`" if by_name else "fewer"
        first = described(args[len(args) - n_given + len(places)])
        return (
            f"`{name}` takes {limit} ({_listed(places)}), got {n_given}; the next is {first}. Name "
            f"it, as in {line}. By name it takes {_listed(by_name)}."
        )
    needed = [n for n, p in known.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    missing = [n for n in needed if n not in kwargs and n not in places[:n_given]]
    if missing:
        call = ", ".join(n if n in places else f"{n}=..." for n in needed)
        return f"`{name}` needs {_listed(missing)}: write `{name}({call})`."
    return ""


def _line(unknown: str, known: Sequence[str]) -> str:
    """Suggest what to write in place of an unknown name; return "" if no name is similar."""
    for line in _ELSEWHERE.get(unknown, ()):
        if line.split("=")[0] in known:
            return line
    near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.7)
    return f"{near[0]}=..." if near else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def made(name: str, value: Any) -> None:
    """Refuse words, classes, numbers, functions and tensors where an object of the kit belongs.

    Args:
        name: name of the argument, such as "solver".
        value: value that was passed.
    """
    is_class = isinstance(value, type)
    named = is_class or inspect.isroutine(value)
    of_torch = isinstance(value, (Optimizer, _Loss))
    data = isinstance(value, (str, bytes, int, float, complex, list, tuple, dict, Tensor))
    if named or of_torch or data or hasattr(value, "__array__"):
        kind = value if named else type(value)
        word = getattr(kind, "__name__", "") if named or of_torch else value
        wanted = f"`{name}` must be an object of the kit or one like it"
        line = written(name, _OF_TORCH.get(word, word) if isinstance(word, str) else "")
        raise TypeError(f"{wanted}, got {described(value)}. Write {line}.")


def written(name: str, word: Any = "") -> str:
    """Return the line that passes the object named by `word`, or the first three lines."""
    lines = _WRITE.get(name, ("...",))
    word = word.lower() if isinstance(word, str) else ""
    named = [line for line in lines if word and word in line.lower()]
    near = named[:1] or lines[:3]
    return " or ".join(f"`{name}={line}`" for line in near)


def a_loss(name: str, value: Any) -> None:
    """Refuse anything but a loss."""
    made(name, value)
    wanted = f"`{name}` must have `per_sample(output, x, mask=None)`"
    fits = hasattr(value, "per_sample")
    require(fits, f"{wanted}, got {described(value)}. Write {written('loss')}.", TypeError)


def loss_or_none(loss: Any) -> None:
    """Refuse a word, class or number passed as a loss; None is allowed."""
    function = inspect.isroutine(loss) or isinstance(loss, _Loss)  # `WholeLoss` accepts these
    if loss is not None and not function:
        made("loss", loss)


_CHECKS: dict[Any, Callable[[str, Any], object]] = {
    int: checks.whole,
    float: checks.number,
    bool: checks.flag,
    str: checks.text,
    list: checks.sequence,
    Sequence: checks.sequence,
    dict: checks.mapping,
    Mapping: checks.mapping,
    torch.Generator: checks.generator,
    Loss: a_loss,
}
"""Check for each simple annotation."""


def stop_rule(value: Any) -> None:
    """Refuse anything but a `Stop` or None."""
    tolerance = isinstance(value, float)
    line = f"`stop=gfe.Stop(gain_rtol={value!r})`" if tolerance else "`stop=gfe.Stop()`"
    fits = value is None or isinstance(value, Stop)
    wanted = f"`stop` must be a `Stop`, got {described(value)}"
    require(fits, f"{wanted}. Write {line}, with the tolerances you want.", TypeError)


def saved_states(value: Any) -> None:
    """Refuse anything but a `SaveAt` or None."""
    times = isinstance(value, (list, tuple, Tensor)) or hasattr(value, "__array__")
    line = "gfe.SaveAt.times(t)" if times else "gfe.SaveAt.steps()"
    fits = value is None or isinstance(value, SaveAt)
    wanted = f"`save_at` must be a `SaveAt`, got {described(value)}"
    require(fits, f"{wanted}. Write `save_at={line}`.", TypeError)


def takes(function: Any, *places: str, **named: str) -> bool:
    """Whether a function accepts arguments in these places, and others of these names.

    It does where its signature is not known.
    """
    if not callable(function) or isinstance(function, type):
        return False
    try:
        signature(function).bind(*places, **named)
    except TypeError:
        return False
    except ValueError:  # some built-in functions have no signature
        return True
    return True


def penalty_function(value: Penalty | None) -> None:
    """Refuse a penalty that is neither a function nor None."""
    weight = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.1
    line = f"penalty=lambda z: {weight} * z.square().sum(1)"
    fits = value is None or (callable(value) and not isinstance(value, type))
    wanted = "`penalty` must be a function of codes, (batch, latent) -> (batch,)"
    require(fits, f"{wanted}, got {described(value)}. Write `{line}`.", TypeError)


# The functions below inspect the parameters of a caller's function without calling it.

_EMPTY = inspect.Parameter.empty


def takes_named(function: Any, name: str) -> bool:
    """Whether a function accepts a keyword argument of this name."""
    parameters = _parameters(function)
    kinds = inspect.Parameter
    return parameters is None or any(
        p.kind is kinds.VAR_KEYWORD or (p.name == name and p.kind is not kinds.POSITIONAL_ONLY)
        for p in parameters
    )


def requires(function: Any, name: str) -> bool:
    """Whether a function has a required parameter of this name."""
    return any(p.name == name and p.default is _EMPTY for p in _parameters(function) or ())


def names(function: Any) -> set[str]:
    """Return the names of the parameters; none if they are unknown."""
    return {p.name for p in _parameters(function) or ()}


def default_of(function: Any, name: str) -> Any:
    """Return the default of a parameter, `inspect.Parameter.empty` without one.

    None if there is no such parameter.
    """
    return next((p.default for p in _parameters(function) or () if p.name == name), None)


def takes_context(decoder: Any) -> bool:
    """Whether a decoder can be called as decoder(z, context).

    A second parameter with a default other than None is a setting, not a context.
    """
    positional = _positional(decoder)
    return positional is None or any(p.default in (_EMPTY, None) for p in positional[1:2])


def needed_beside_codes(decoder: Any) -> list[str]:
    """Return the names of the required parameters other than the codes."""
    after = [p.name for p in (_positional(decoder) or ())[1:] if p.default is _EMPTY]
    return after + needed_by_name(decoder)


def needed_by_name(function: Any) -> list[str]:
    """Return the names of the required keyword-only parameters."""
    return [
        p.name
        for p in _parameters(function) or ()
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is _EMPTY
    ]


def check_callable(
    function: Callable[..., Any], name: str, arguments: Sequence[str], given: Sequence[str]
) -> None:
    """Refuse a function that cannot be called with these arguments by position.

    Args:
        function: function to check.
        name: name of the caller's argument, for the error.
        arguments: names of the arguments passed by position.
        given: names of the arguments passed by keyword if the function has such parameters.
    """
    call = f"({', '.join(arguments)})"
    require(callable(function), f"`{name}` must be callable as {call}.", TypeError)
    positional = _positional(function)
    if positional is None:
        return
    needed = [p for p in positional if p.default is _EMPTY and p.name not in given]
    named = ", ".join(p.name for p in positional)
    require(
        len(positional) >= len(arguments) >= len(needed),
        f"`{name}` must be callable as {call} -> (batch,), and may have parameters named "
        f"{' and '.join(f'`{one}`' for one in given)}; {called(function)} takes ({named}).",
        TypeError,
    )


def called(part: Any) -> str:
    """Return the name of a function, or of the class of an object."""
    return getattr(part, "__name__", None) or type(part).__name__


def signature(function: Any) -> inspect.Signature:
    """Return the signature of a callable; for a module, the signature of `forward`.

    Raises:
        TypeError, ValueError: the callable has no known signature.
    """
    return inspect.signature(_spelled_out(function))


def _spelled_out(function: Any) -> Any:
    """Return the `forward` of a module, which says what it takes; anything else as it is."""
    by_forward = isinstance(function, nn.Module) and not hasattr(function, "__signature__")
    return function.forward if by_forward else function


_SEEN: WeakKeyDictionary[Callable[..., Any], dict[bool, list[inspect.Parameter]]] = (
    WeakKeyDictionary()
)
"""Parameters of functions that were inspected, each as a plain function and as a method.

Every encode needs those of its decoder, loss and penalty, and inspecting them again each time would
take longer than decoding an image.
"""


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    """Return the parameters of a callable; None if they are unknown."""
    try:  # torch computes the `__signature__` of compiled modules, and may fail
        spelled = _spelled_out(function)
        plain = getattr(spelled, "__func__", spelled)
        keeps = isinstance(plain, FunctionType) and not hasattr(plain, "__signature__")
        known = _SEEN.setdefault(plain, {}) if keeps else {}
        as_method = plain is not spelled
        if as_method not in known:
            known[as_method] = list(signature(spelled).parameters.values())
        return known[as_method]
    except (TypeError, ValueError):
        return None


def _positional(function: Any) -> list[inspect.Parameter] | None:
    """Return the positional parameters; None if they are unknown or unlimited in number."""
    parameters = _parameters(function)
    kinds = inspect.Parameter
    if parameters is None or any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
        return None
    return [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
