"""The operators: forms and wiring, no algorithms. One file each."""

from .audit import Audit
from .budget_curve import BudgetCurve
from .compare_coresets import CompareCoresets
from .compare_methods import CompareMethods
from .compute_embeddings import ComputeEmbeddings
from .compute_pseudo_labels import ComputePseudoLabels
from .compute_scores import ComputeScores
from .delete_run import DeleteRun
from .export_coreset import ExportCoreset
from .measure_stability import MeasureStability
from .repair_run import RepairRun
from .run_elfs import RunElfs
from .search_beta import SearchBeta
from .select_coreset import SelectCoreset
from .update_run import UpdateRun
from .visualize import Visualize

OPERATORS = (
    ComputeEmbeddings,
    ComputePseudoLabels,
    ComputeScores,
    SearchBeta,
    SelectCoreset,
    RunElfs,
    BudgetCurve,
    CompareCoresets,
    CompareMethods,
    MeasureStability,
    Audit,
    ExportCoreset,
    UpdateRun,
    RepairRun,
    Visualize,
    DeleteRun,
)
