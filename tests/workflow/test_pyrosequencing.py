"""A study whose saliva a pyrosequencer read, end to end: the published study's own kind of data."""

import subprocess
import sys

import jsonschema
import pandas as pd
import pytest
import yaml
from scipy.stats import binom

from hpaxis.tables import read_table

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "study/config.yaml")


def test_truth_is_recovered_from_the_export_to_the_models(pyrosequenced):
    results, truth = pyrosequenced.folder / "results", pyrosequenced.folder / "study" / "truth"
    sheet = read_table(pyrosequenced.folder / "study" / "libraries.tsv")
    true = read_table(truth / "indices.tsv").merge(sheet[["library_id", "participant_id"]], on="library_id")
    found = read_table(results / "methylation" / "indices.tsv").merge(
        true[true["index"] == "oberlander_mean"], on="participant_id"
    )
    assert len(found) == (sheet["kind"] == "study").sum() and found["oberlander_mean_beta"].notna().all()
    low, high = (found[f"oberlander_mean_beta_{end}"] for end in ("low", "high"))
    inside = (low <= found["level"]) & (found["level"] <= high)
    assert inside.sum() >= binom.ppf(0.001, len(found), 0.95)
    # Errors of .27 points (SE) beside about .8 points between people.
    assert (found["oberlander_mean_beta"] - found["level"]).abs().max() < 0.01
    assert found["oberlander_mean_beta"].corr(found["level"]) > 0.85
    assert found["region_mean_beta"].isna().all() and (found["verdict"] != "fail").all()
    assert found["depth"].isna().all()
    analysis = read_table(results / "cohort" / "analysis.tsv")
    assert analysis["oberlander_mean_beta"].notna().sum() == len(found)
    for model in ("competence", "cortisol"):
        assert len(read_table(results / "moderation" / model / "coefficients.tsv")) >= 4
    page = (results / "report" / "report.html").read_text(encoding="utf-8")
    assert "Readings of the pyrosequencer" in page and "second caller" not in page


def test_tables_are_as_their_schemas_say(pyrosequenced, root):
    results = pyrosequenced.folder / "results" / "methylation"
    names = {
        "pyrosequencing": "release/pyrosequencing", "pyrosequencing_rows": "pyrosequencing_rows",
        "instrument": "instrument", "libraries": "libraries", "indices": "indices", "limits": "limits",
        "calls": "calls/L00101.cpg",
    }  # fmt: skip
    for name, path in names.items():
        schema = yaml.safe_load((root / "workflow" / "schemas" / f"methylation_{name}.schema.yaml").read_text())
        table = read_table(results / f"{path}.tsv")
        assert len(table)
        assert [c for c in table.columns if c in schema["properties"]] == list(schema["properties"]), name
        for row in table.astype(object).where(table.notna(), None).to_dict("records"):
            jsonschema.validate(row, schema)


def test_rows_of_nobody_are_listed_without_their_name(pyrosequenced, canaries):
    rows = read_table(pyrosequenced.folder / "results" / "methylation" / "pyrosequencing_rows.tsv")
    left = rows[rows["status"] == "left out"]
    assert len(left) == 2 and left["reason"].notna().all() and left["library_id"].isna().all()
    for path in (pyrosequenced.folder / "results").rglob("*"):
        # The participants' bundle holds plate readers' files as they are, and says so.
        if path.is_file() and path.suffix != ".zip":
            data = path.read_bytes()
            assert not any(c.encode() in data for c in canaries), path


def test_a_participants_bundle_runs_again_to_the_same_bytes(pyrosequenced):
    bundle = pyrosequenced.folder / "results" / "bundle" / "participants.zip"
    done = subprocess.run(
        [sys.executable, "-m", "hpaxis", "verify", str(bundle)],
        cwd=pyrosequenced.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.rstrip().endswith("equal"), done.stdout + done.stderr


def test_damaged_exports_stop_before_anything_starts(pyrosequenced, tmp_path):
    checkout = pyrosequenced.copy_to(tmp_path / "checkout")
    path = checkout.folder / "study" / "exports" / "first_1.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[4].split(";")
    cells[4] = "140"
    lines[4] = ";".join(cells)
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    done = checkout.snakemake(*CONFIG, "--dry-run", ok=False)
    said = done.stdout + done.stderr
    assert "first_1.txt, row 5, Pos. 1 Meth. (%): '140' is no percentage; give 0 to 100" in said
    assert "1 problem(s)" in said


def test_one_assay_may_stand_beside_another(pyrosequenced, tmp_path):
    """Half the libraries from counts, half from the instrument: the same tables, one row per library, no index lost."""
    checkout = pyrosequenced.copy_to(tmp_path / "checkout")
    sheet = read_table(checkout.folder / "study" / "libraries.tsv")
    own = sheet["kind"] == "study"
    chosen = sheet.loc[own, "library_id"].iloc[::2]
    cpgs = read_table(checkout.folder / "resources" / "panels" / "nr3c1_exon1f" / "cpgs.tsv")["cpg_id"]
    rows = pd.MultiIndex.from_product([chosen, cpgs], names=["library_id", "cpg_id"]).to_frame(index=False)
    methylated = 60 + rows.groupby("library_id").ngroup()  # the same counts under two people are refused
    rows = rows.assign(methylated=methylated, unmethylated=2000 - methylated)
    rows = rows.assign(non_cpg_unconverted=500, non_cpg_converted=99500)
    rows.to_csv(checkout.folder / "study" / "counts.tsv", sep="\t", index=False)
    here = sheet["library_id"].isin(chosen)
    sheet["counts"] = None
    sheet.loc[here, ["assay", "export", "counts"]] = ["counts", None, "study/counts.tsv"]
    sheet.to_csv(checkout.folder / "study" / "libraries.tsv", sep="\t", index=False, na_rep="NA")
    checkout.snakemake(*CONFIG, "--", "results/methylation/indices.tsv", in_process=True)
    table = read_table(checkout.folder / "results" / "methylation" / "libraries.tsv").set_index("library_id")
    assert table.loc[list(chosen), "median_depth"].eq(2000).all()
    assert table["median_depth"].isna().sum() == len(sheet) - len(chosen)
    indices = read_table(checkout.folder / "results" / "methylation" / "indices.tsv")
    assert indices["oberlander_mean_beta"].notna().all() and len(indices) == own.sum()
