"""Solvers: rules that propose the next state of a flow, one file for each family."""

from gfe_core.solvers.amd import AMD
from gfe_core.solvers.bfgs import BFGS
from gfe_core.solvers.dopri5 import Dopri5
from gfe_core.solvers.gauss_newton import GaussNewton
from gfe_core.solvers.lbfgs import LBFGS
from gfe_core.solvers.nesterov import SemiImplicit
from gfe_core.solvers.runge_kutta import RK4, Euler
from gfe_core.solvers.step import Solver, State, Step

__all__ = [
    "AMD",
    "BFGS",
    "LBFGS",
    "RK4",
    "Dopri5",
    "Euler",
    "GaussNewton",
    "SemiImplicit",
    "Solver",
    "State",
    "Step",
]
