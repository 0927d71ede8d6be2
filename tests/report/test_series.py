"""Saliva cortisol series on the page: what may be counted."""

import numpy as np
import pandas as pd

from hpaxis.report.privacy import Cells
from hpaxis.report.series import by_arm


def test_an_n_that_would_tell_how_few_lack_a_series_is_withheld():
    """20 in each arm, one without an area in one arm: 19 beside the 20 of the flow would say so."""
    values = np.r_[np.nan, np.linspace(100.0, 300.0, 39)]
    table = pd.DataFrame({"role": "child", "arm": ["a", "b"] * 20, "saliva_auc_g": values, "saliva_auc_g_se": 5.0})
    for name in ("auc_i", "awakening", "rise"):
        table[f"saliva_{name}"] = table[f"saliva_{name}_se"] = np.nan
    shown, hidden = (by_arm(table, ["a", "b"], Cells(k)) for k in (0, 5))
    assert [row[3] for row in shown.rows] == ["19", "20"]
    assert [row[3] for row in hidden.rows] == ["withheld", "20"]
    assert [row[4] for row in hidden.rows] == [row[4] for row in shown.rows]
