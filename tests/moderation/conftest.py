from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DATA = Path(__file__).parents[1] / "data" / "moderation"


@pytest.fixture(scope="session")
def states():
    return pd.read_csv(DATA / "state_x77.tsv", sep="\t", index_col="State")


@pytest.fixture(scope="session")
def cars():
    return pd.read_csv(DATA / "mtcars.tsv", sep="\t", index_col="car").assign(cylinders=lambda d: d["cyl"].astype(str))


@pytest.fixture(scope="session")
def anorexia():
    return pd.read_csv(DATA / "anorexia.tsv", sep="\t")


@pytest.fixture(scope="session")
def dyads():
    """44 dyads, children and parents, with the effect that the study printed; two children lack the outcome."""
    return make_dyads(44, seed=11)


def make_dyads(n, seed):
    rng = np.random.default_rng(seed)
    arm = np.tile(["control", "treatment"], (n + 1) // 2)[:n]
    beta = rng.beta(4, 130, n)
    z = (beta - beta.mean()) / beta.std(ddof=1)
    competence = np.where(arm == "control", -0.37, 0.33) * z + rng.normal(0, 0.9, n)
    log_cortisol = 1.5 + 0.3 * z + rng.normal(0, 0.5, n)
    common = {"dyad_id": [f"{i:03d}" for i in range(1, n + 1)], "arm": arm, "region_mean_beta": beta}
    common["region_mean_m"] = np.log2(beta / (1 - beta))
    common["log_cortisol"] = log_cortisol
    common["cortisol_pg_per_mg"] = np.exp(log_cortisol)
    common["age_months"] = rng.integers(12, 36, n)
    common["sex"] = rng.choice(["f", "m"], n)
    child = pd.DataFrame({
        "participant_id": [f"{i:03d}01" for i in range(1, n + 1)], "role": "child", **common,
        "competence": np.round(16 + 3 * competence),
    })  # fmt: skip
    child.loc[[3, 8], "competence"] = np.nan
    parent = child.assign(
        participant_id=[f"{i:03d}02" for i in range(1, n + 1)], role="parent", child_competence=child["competence"]
    )
    return pd.concat([child, parent], ignore_index=True)
