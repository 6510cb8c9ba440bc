"""Interactive views: players, explorers, progress displays and questions.

The encoding, the solvers and the training do not import this package.
"""

from importlib.util import find_spec

if missing := [name for name in ("anywidget", "ipywidgets", "plotly") if not find_spec(name)]:
    raise ModuleNotFoundError(
        f"Views and plots need {', '.join(missing)}, not installed here: "
        'run `pip install "gfe_core[lab]"`, then restart the kernel.',
        name=missing[0],
    )

from gfe_core.widgets.charts.adjoint_explorer import AdjointExplorer
from gfe_core.widgets.charts.axes_explorer import AxesExplorer
from gfe_core.widgets.charts.figures import show_figure, show_picture
from gfe_core.widgets.curve.explorer import CurveExplorer
from gfe_core.widgets.emission_lines.explorer import SpectrumExplorer
from gfe_core.widgets.kit.explorer import Explorer
from gfe_core.widgets.lessons import check, predict
from gfe_core.widgets.map.between_explorer import BetweenExplorer
from gfe_core.widgets.map.explorer import MapExplorer
from gfe_core.widgets.mask.explorer import MaskExplorer
from gfe_core.widgets.mask.painter import MaskPainter
from gfe_core.widgets.player.armijo_explorer import ArmijoExplorer
from gfe_core.widgets.player.film_explorer import FilmExplorer, TrainingFilm, noisy_film
from gfe_core.widgets.player.flow_explorer import FlowExplorer
from gfe_core.widgets.player.momentum_explorer import MomentumExplorer
from gfe_core.widgets.player.origin_explorer import OriginExplorer
from gfe_core.widgets.player.player import FlowPlayer
from gfe_core.widgets.player.race_explorer import RaceExplorer
from gfe_core.widgets.player.stiffness_explorer import StiffnessExplorer
from gfe_core.widgets.results import emission_lines as paper_spectra
from gfe_core.widgets.results import gon as paper_gon
from gfe_core.widgets.results import missing as paper_missing
from gfe_core.widgets.results import narrowing as paper_narrowing
from gfe_core.widgets.results import paper
from gfe_core.widgets.siren.explorer import SirenExplorer
from gfe_core.widgets.staircase.explorer import StaircaseExplorer
from gfe_core.widgets.tables import Table, show_result, show_table
from gfe_core.widgets.training.gallery import gallery, preview_of, show_gallery
from gfe_core.widgets.training.gradient_histogram import GradientHistogram
from gfe_core.widgets.training.progress import Progress
from gfe_core.widgets.training.side_by_side import SideBySide
from gfe_core.widgets.traversal.explorer import TraversalExplorer
from gfe_core.widgets.traversal.traversal import explained

__all__ = [
    "AdjointExplorer",
    "ArmijoExplorer",
    "AxesExplorer",
    "BetweenExplorer",
    "CurveExplorer",
    "Explorer",
    "FilmExplorer",
    "FlowExplorer",
    "FlowPlayer",
    "GradientHistogram",
    "MapExplorer",
    "MaskExplorer",
    "MaskPainter",
    "MomentumExplorer",
    "OriginExplorer",
    "Progress",
    "RaceExplorer",
    "SideBySide",
    "SirenExplorer",
    "SpectrumExplorer",
    "StaircaseExplorer",
    "StiffnessExplorer",
    "Table",
    "TrainingFilm",
    "TraversalExplorer",
    "check",
    "explained",
    "gallery",
    "noisy_film",
    "paper",
    "paper_gon",
    "paper_missing",
    "paper_narrowing",
    "paper_spectra",
    "predict",
    "preview_of",
    "show_figure",
    "show_gallery",
    "show_picture",
    "show_result",
    "show_table",
]
