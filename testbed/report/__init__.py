"""The page of a run: figures, tables, and the answer in sentences."""

from testbed.report.report import answers, write_report

__all__ = ["answers", "write_report"]
