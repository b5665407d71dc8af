"""Semiclassical models judged by quantum transport on the same lattice."""

from qtorque.validation.comparison import Comparison, Verdict, judge, nearest
from qtorque.validation.report import Section, Table, as_csv, as_html, as_text
from qtorque.validation.samples import jackknife, mean_parameters
from qtorque.validation.sections import judged, largest_difference, parameter_table, spacer_table, specular_table
from qtorque.validation.specular import PER_MOMENTUM, specular_comparisons
from qtorque.validation.studies import (
    CIRCUIT,
    DIFFUSION,
    THICK,
    UNCORRECTED,
    Parts,
    Run,
    Sampling,
    angular_comparisons,
    angular_models,
    resistance_of_spacers,
    sample_composite,
    sample_parts,
    sample_spacer,
    sample_valve,
    single_magnet_comparisons,
    sweep_comparisons,
    user_comparisons,
)
from qtorque.validation.user_table import UserTable, read_user_table

__all__ = [
    "CIRCUIT",
    "DIFFUSION",
    "PER_MOMENTUM",
    "THICK",
    "UNCORRECTED",
    "Comparison",
    "Parts",
    "Run",
    "Sampling",
    "Section",
    "Table",
    "UserTable",
    "Verdict",
    "angular_comparisons",
    "angular_models",
    "as_csv",
    "as_html",
    "as_text",
    "jackknife",
    "judge",
    "judged",
    "largest_difference",
    "mean_parameters",
    "nearest",
    "parameter_table",
    "read_user_table",
    "resistance_of_spacers",
    "sample_composite",
    "sample_parts",
    "sample_spacer",
    "sample_valve",
    "single_magnet_comparisons",
    "spacer_table",
    "specular_comparisons",
    "specular_table",
    "sweep_comparisons",
    "user_comparisons",
]
