"""Things to touch: players, explorers, progress and questions. Nothing in the core imports them."""

from gfe_core.widgets import paper, paper_gon, paper_missing, paper_narrowing, paper_spectra
from gfe_core.widgets.adjoint_explorer import AdjointExplorer
from gfe_core.widgets.armijo_explorer import ArmijoExplorer
from gfe_core.widgets.axes_explorer import AxesExplorer
from gfe_core.widgets.between_explorer import BetweenExplorer
from gfe_core.widgets.explorer import Explorer
from gfe_core.widgets.figures import show_figure, show_picture
from gfe_core.widgets.film_explorer import FilmExplorer, TrainingFilm, early_stopping
from gfe_core.widgets.flow_explorer import FlowExplorer
from gfe_core.widgets.gallery import gallery, preview_of
from gfe_core.widgets.gradient_histogram import GradientHistogram
from gfe_core.widgets.lessons import check, predict
from gfe_core.widgets.map_explorer import MapExplorer
from gfe_core.widgets.mask_explorer import MaskExplorer
from gfe_core.widgets.mask_painter import MaskPainter
from gfe_core.widgets.momentum_explorer import MomentumExplorer
from gfe_core.widgets.origin_explorer import OriginExplorer
from gfe_core.widgets.player import FlowPlayer
from gfe_core.widgets.progress import Progress
from gfe_core.widgets.race_explorer import RaceExplorer
from gfe_core.widgets.side_by_side import SideBySide
from gfe_core.widgets.siren_explorer import SirenExplorer
from gfe_core.widgets.spectrum_explorer import SpectrumExplorer
from gfe_core.widgets.staircase_explorer import StaircaseExplorer
from gfe_core.widgets.stiffness_explorer import StiffnessExplorer
from gfe_core.widgets.tables import Table, show_result, show_table
from gfe_core.widgets.traversal import explained
from gfe_core.widgets.traversal_explorer import TraversalExplorer

__all__ = [
    "AdjointExplorer",
    "ArmijoExplorer",
    "AxesExplorer",
    "BetweenExplorer",
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
    "early_stopping",
    "explained",
    "gallery",
    "paper",
    "paper_gon",
    "paper_missing",
    "paper_narrowing",
    "paper_spectra",
    "predict",
    "preview_of",
    "show_figure",
    "show_picture",
    "show_result",
    "show_table",
]
