"""Tables as pandas has them, for those who work with it; it is imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(table: pl.DataFrame) -> pd.DataFrame:
    """The same table as a pandas DataFrame; ImportError, with the command that helps, where there is no pandas.

    >>> to_pandas(pl.DataFrame({"pair": [0, 1], "kind": ["siblings", None]}))["pair"].tolist()
    [0, 1]
    """
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("to_pandas() needs pandas, which is not installed: pip install pandas") from None
    return pd.DataFrame(table.to_dict(as_series=False))
