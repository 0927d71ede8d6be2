"""The audited join of methylation, cortisol and participants into the one table that models read."""

from hpaxis.cohort.columns import analysis_columns, read_analysis
from hpaxis.cohort.join import Cohort, build_cohort

__all__ = ["Cohort", "analysis_columns", "build_cohort", "read_analysis"]
