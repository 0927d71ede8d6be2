"""Every file that a study brought has its checksum: finished levels, and tables that the config names."""

import hashlib
import shutil

import pandas as pd
import pytest
import yaml

from hpaxis.methylation.panels.panel import panel_folder, read_panel
from hpaxis.tables import read_table

pytestmark = pytest.mark.workflow


def test_finished_levels_and_tables_of_the_config_have_checksums(study, root, tmp_path):
    checkout = study.copy_to(tmp_path / "checkout")
    folder = checkout.folder / "study"
    sheet = pd.read_csv(folder / "libraries.tsv", sep="\t", dtype=str)
    sheet = sheet.loc[sheet["kind"] == "study", ["library_id", "participant_id", "timepoint", "panel"]]
    cpgs = read_panel(panel_folder(sheet["panel"].iloc[0])).cpgs["cpg_id"]
    rows = [f"{name}\t{cpg}\t{2 + i / 10}\t0.3" for i, name in enumerate(sheet["library_id"]) for cpg in cpgs]
    (folder / "levels.tsv").write_text("\n".join(["library_id\tcpg_id\tpercent\tse_percent", *rows]) + "\n")
    sheet.assign(assay="levels", levels="study/levels.tsv").to_csv(folder / "libraries.tsv", sep="\t", index=False)
    shutil.copy(root / "resources" / "kits.tsv", folder / "kits.tsv")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config.setdefault("cortisol", {})["kits"] = "study/kits.tsv"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    checkout.snakemake(
        "--configfile", "study/config.yaml", "--", "results/report/checksums.tsv", in_process=True
    )  # fmt: skip
    table = read_table(checkout.folder / "results" / "report" / "checksums.tsv").set_index("file")
    for name, role in (("study/levels.tsv", "reads"), ("study/kits.tsv", "tables"), ("study/hair.tsv", "sheets")):
        row = table.loc[name]
        assert row["role"] == role
        assert row["sha256"] == hashlib.sha256((checkout.folder / name).read_bytes()).hexdigest()
