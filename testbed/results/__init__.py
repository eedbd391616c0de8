"""What a run leaves: its folder, its tables, and what can be said of them."""

from testbed.results.results import Results
from testbed.results.store import Store

__all__ = ["Results", "Store"]
