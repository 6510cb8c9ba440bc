"""Check the annotations of gfe_core at run time, shapes included, at a fraction of the cost.

jaxtyping's own decorator checks the arguments before the call and once more with the result, and
prepares both checks when a module is imported. Here a call is checked once, by beartype, and the
check is prepared when a function is first called. In each test the first calls of a function are
checked; loops go on to call it hundreds of times alike.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import jaxtyping
from jaxtyping import _storage

_BEARTYPE = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
"""An int is a float, as for pyright."""
CALLS = 20
"""Calls of one function that are checked in each test."""
_test = 0
_jaxtyped = jaxtyping.jaxtyped


def begin_test() -> None:
    """Count the calls of every function from 0 again."""
    global _test
    _test += 1


def check_annotations() -> None:
    """Check the annotations of what is imported from gfe_core afterwards."""
    # The name that the import hook decorates with.
    jaxtyping.jaxtyped = checked  # pyright: ignore[reportAttributeAccessIssue]
    jaxtyping.install_import_hook("gfe_core", _BEARTYPE)


def checked(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """Return the decorator of a function, a class or another member of a class."""

    def decorate(member: Any) -> Any:
        if inspect.isclass(member):
            if dataclasses.is_dataclass(member) and "__init__" in vars(member):
                member.__init__ = _checked_call(member.__init__, typechecker)
            return member
        runs_later = inspect.isgeneratorfunction(member) or inspect.iscoroutinefunction(member)
        if not inspect.isfunction(member) or runs_later:
            return _jaxtyped(member, typechecker=typechecker)
        return _checked_call(member, typechecker)

    return decorate


def _checked_call(function: Callable[..., Any], typechecker: Callable[..., Any]) -> Any:
    """Return the function with one check of its arguments and its result.

    Sizes such as "batch" are one number within a call.
    """
    counted_in = -1
    n_calls = 0

    @cache
    def prepared() -> Callable[..., Any]:
        _drop_unknown_names(function)
        return typechecker(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal counted_in, n_calls
        if counted_in != _test:
            counted_in, n_calls = _test, 0
        n_calls += 1
        if n_calls > CALLS or jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        checks = prepared()
        _storage.push_shape_memo({})
        try:
            return checks(*args, **kwargs)
        finally:
            _storage.pop_shape_memo()

    return call


def _drop_unknown_names(function: Any) -> None:
    """Leave unchecked, as jaxtyping does, what is annotated by a name of another module.

    A dataclass inherits such annotations with the fields of its base.
    """
    for name, annotation in function.__annotations__.items():
        if isinstance(annotation, str):
            try:
                eval(annotation, function.__globals__)
            except NameError:
                function.__annotations__[name] = Any
