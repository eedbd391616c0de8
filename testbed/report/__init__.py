"""The page of a run: figures, tables, and the answer in sentences."""

from testbed.report.blocks import answers
from testbed.report.report import Page, write_page
from testbed.report.tables import claims_table

__all__ = ["Page", "answers", "claims_table", "write_page"]
