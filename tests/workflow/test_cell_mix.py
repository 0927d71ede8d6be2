"""Two panels in one study, one of them markers of cell types: from counts to shares that a model may adjust for."""

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import binom

from hpaxis.methylation.panels.panel import make_panel, write_panel
from hpaxis.tables import read_table, write_table

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "study/config.yaml")
PEOPLE, DEPTH = 24, 2000
PURE = {"epithelial": [0.9, 0.1, 0.8, 0.2], "leukocyte": [0.1, 0.8, 0.3, 0.9]}


@pytest.fixture(scope="module")
def mixed(checkouts, tmp_path_factory):
    """Each person has a library of either panel; the markers' levels follow from the shares, which the sheet tells."""
    checkout = checkouts(tmp_path_factory.mktemp("mixed") / "checkout")
    folder, rng = checkout.folder / "study", np.random.default_rng(2)
    folder.mkdir()
    panels = {}
    for name, text in (("gene", "TTCGATACGTTAACGTTTGATT"), ("markers", "AACGATTCGTTCAACGATTCGATT")):
        (folder / f"{name}.fa").write_text(f">{name}\n{text}\n")
        panels[name] = make_panel(folder / f"{name}.fa")
        write_panel(panels[name], folder / name)
    ids = {name: list(panel.cpgs["cpg_id"]) for name, panel in panels.items()}
    assert len(ids["markers"]) == 4
    pure = [(cpg, kind, v, "made up") for kind, levels in PURE.items() for cpg, v in zip(ids["markers"], levels)]
    write_table(
        pd.DataFrame(pure, columns=["cpg_id", "cell_type", "level", "source"]), folder / "markers/cell_types.tsv"
    )
    write_table(pd.DataFrame(columns=["index", "cpg_id", "source"]), folder / "markers/indices.tsv")
    share = rng.uniform(0.1, 0.9, PEOPLE)
    libraries, counts = [], []
    for i, part in enumerate(share):
        levels = {"gene": [0.05] * len(ids["gene"])}
        levels["markers"] = part * np.array(PURE["epithelial"]) + (1 - part) * np.array(PURE["leukocyte"])
        for name, cpgs in ids.items():
            library = f"{name}{i:02d}"
            libraries.append((library, f"p{i:02d}", "once", "counts", f"study/{name}", "study/counts.tsv"))
            for cpg, level in zip(cpgs, levels[name]):
                seen = rng.binomial(DEPTH, level * (1 - 0.005) + 0.005)
                counts.append((library, cpg, seen, DEPTH - seen, 500, 99_500))
    columns = ["library_id", "participant_id", "timepoint", "assay", "panel", "counts"]
    write_table(pd.DataFrame(libraries, columns=columns), folder / "libraries.tsv")
    columns = ["library_id", "cpg_id", "methylated", "unmethylated", "non_cpg_unconverted", "non_cpg_converted"]
    write_table(pd.DataFrame(counts, columns=columns), folder / "counts.tsv")
    people = pd.DataFrame({"participant_id": [f"p{i:02d}" for i in range(PEOPLE)], "role": "child"})
    people = people.assign(arm=["a", "b"] * (PEOPLE // 2), share=share, score=rng.normal(size=PEOPLE))
    write_table(people, folder / "participants.tsv")
    model = {"outcome": "score", "predictor": "region_mean_beta", "moderator": "arm", "population": "child",
             "covariates": ["epithelial_fraction"]}  # fmt: skip
    config = {
        "sheets": {"libraries": "study/libraries.tsv", "participants": "study/participants.tsv"}, "arms": ["a", "b"],
        "cohort": {"columns": {"share": "number", "score": "number"}}, "models": {"score": model},
        "moderation": {"draws": 199},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return checkout


def test_shares_reach_the_model_as_a_covariate(mixed, root):
    mixed.snakemake(*CONFIG, "--", "cohort", "results/moderation/score/coefficients.tsv", in_process=True)
    results = mixed.folder / "results"
    table = read_table(results / "methylation" / "cell_mix.tsv")
    schema = yaml.safe_load((root / "workflow" / "schemas" / "methylation_cell_mix.schema.yaml").read_text())
    assert list(table.columns) == list(schema["properties"]) and len(table) == 2 * PEOPLE
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        jsonschema.validate(row, schema)
    people = read_table(mixed.folder / "study" / "participants.tsv")
    mine = table[table["cell_type"] == "epithelial"].merge(people, on="participant_id")
    inside = ((mine["fraction_low"] <= mine["share"]) & (mine["share"] <= mine["fraction_high"])).sum()
    assert inside >= binom.ppf(0.001, PEOPLE, 0.95)
    # Four CpGs at depth 2,000 tell a share to about a point.
    assert (mine["fraction"] - mine["share"]).abs().max() < 0.05 and mine["fraction_se"].between(0.002, 0.03).all()
    analysis = read_table(results / "cohort" / "analysis.tsv").merge(mine, on="participant_id")
    assert (analysis["epithelial_fraction"] - analysis["fraction"]).abs().max() < 1e-9
    assert analysis["region_mean_beta"].notna().all()
    terms = read_table(results / "moderation" / "score" / "coefficients.tsv")["term"]
    assert terms.str.contains("epithelial_fraction").any()


def test_a_marker_table_at_fault_stops_before_anything_starts(mixed, tmp_path):
    checkout = mixed.copy_to(tmp_path / "checkout")
    path = checkout.folder / "study" / "markers" / "cell_types.tsv"
    path.write_text(path.read_text().replace("0.9\t", "9\t", 1))
    done = checkout.snakemake(*CONFIG, "--dry-run", ok=False)
    assert "row 2, level: '9" in done.stdout + done.stderr and "is no level" in done.stdout + done.stderr
