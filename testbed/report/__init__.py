"""The page of a run: figures, tables, and the answer in sentences."""

from testbed.report.blocks import answers
from testbed.report.report import write_report
from testbed.report.tables import claims_table

__all__ = ["answers", "claims_table", "write_report"]
