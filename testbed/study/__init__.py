"""A study: its settings, the factors that vary, its claims, and the conditions under which they go together."""

from testbed.study.study import Study

__all__ = ["Study"]
