"""Rules that propose the next state of a flow, one file for each family."""

from gfe_core.solvers.amd import AMD
from gfe_core.solvers.runge_kutta import RK4, Euler
from gfe_core.solvers.step import Solver, State, Step

__all__ = ["AMD", "RK4", "Euler", "Solver", "State", "Step"]
