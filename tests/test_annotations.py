"""The run-time checks of annotations see what contradicts them, in every kind of member."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from annotations import CALLS, begin_test, checked
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

import gfe_core as gfe

check = checked(typechecker=beartype)
VIOLATION = (BeartypeCallHintViolation, TypeCheckError)


@check
def moved(z: Float[Tensor, "batch latent"], by: Float[Tensor, "latent"]) -> Any:
    return z + by


@check
def shortened(z: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    return z[1:]


@check
def rows(z: Float[Tensor, "batch latent"]) -> Iterator[Tensor]:
    yield from z


@check
@dataclass
class Box:
    width: int

    @property
    @check
    def label(self) -> str:
        return self.width  # pyright: ignore[reportReturnType]

    @staticmethod
    @check
    def of(width: int) -> "Box":
        return Box(width)


def test_sizes_of_one_name_are_one_number_within_a_call_and_free_between_calls():
    assert moved(torch.zeros(4, 3), torch.ones(3)).shape == (4, 3)
    assert moved(torch.zeros(4, 2), torch.ones(2)).shape == (4, 2)
    with pytest.raises(VIOLATION, match="by"):
        moved(torch.zeros(4, 3), torch.ones(1))
    assert moved(torch.zeros(4, 2), torch.ones(2)).shape == (4, 2)


def test_first_calls_of_a_test_are_checked_and_those_of_the_next_again():
    for _ in range(CALLS):
        with pytest.raises(VIOLATION):
            shortened(torch.zeros(3))
    assert len(shortened(torch.zeros(3))) == 2
    begin_test()
    with pytest.raises(VIOLATION):
        shortened(torch.zeros(3))


def test_result_is_held_against_the_sizes_of_the_arguments():
    with pytest.raises(VIOLATION, match="return"):
        shortened(torch.zeros(4))


@pytest.mark.parametrize(
    "call",
    [
        lambda: Box("wide"),
        lambda: Box(3).label,
        lambda: Box.of("wide"),
        lambda: list(rows(torch.zeros(3))),
    ],
    ids=["dataclass", "property", "static method", "generator"],
)
def test_members_of_classes_and_generators_are_checked(call):
    with pytest.raises(VIOLATION):
        call()


def test_gfe_core_is_checked():
    with pytest.raises(VIOLATION):
        gfe.Bernoulli().per_sample(torch.zeros(3, 4), torch.zeros(2, 4))


def test_unchecked_test_meets_no_check(unchecked: None):
    assert shortened(torch.zeros(4)).shape == (3,)
