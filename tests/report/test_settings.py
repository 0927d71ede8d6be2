import pandas as pd

from hpaxis.report.settings import gates, genome_check, masked_positions, primary_index
from hpaxis.shipped import PANELS


def test_the_index_is_the_primary_models():
    first = {"predictor": "ngfi_a_beta", "primary": False}
    assert primary_index({"a": first, "b": {"predictor": "cpg_1_4_beta", "primary": True}}) == "cpg_1_4"
    assert primary_index({"a": first, "b": first | {"predictor": "x"}}) == "ngfi_a"
    assert primary_index({"a": {"predictor": "age", "primary": True}}) == "region_mean"


def test_gates_pair_the_limits():
    settings = {"conversion_fail": 0.98, "conversion_warn": 0.99, "depth_fail": 100, "depth_warn": 500, "other": 1}
    assert gates(settings) == {"conversion": (0.98, 0.99), "depth": (100, 500)}


def test_masked_positions_are_counted_once_a_panel(tmp_path):
    shipped = PANELS / "nr3c1_exon1f"
    mine = tmp_path / "mine"
    mine.mkdir()
    for path in shipped.iterdir():
        (mine / path.name).write_bytes(path.read_bytes())
    libraries = pd.DataFrame({"panel": ["nr3c1_exon1f", str(mine), str(mine), None]})
    assert masked_positions(libraries) == 0
    header = (mine / "snp_mask.tsv").read_text().splitlines()[0]
    (mine / "snp_mask.tsv").write_text(f"{header}\nchr5\t143404074\tC\tT\t0.01\thand-made\n")
    assert masked_positions(libraries) == 1


def test_every_panel_must_agree_with_a_genome(tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    libraries = pd.DataFrame({"panel": [str(f) for f in folders]})
    for folder in folders:
        folder.mkdir()
    (folders[0] / "genome_check.tsv").write_text("amplicon\tverdict\nx\tsame\n")
    assert genome_check(libraries) == "unchecked"
    (folders[1] / "genome_check.tsv").write_text("amplicon\tverdict\ny\tsame\n")
    assert genome_check(libraries) == "same"
    (folders[1] / "genome_check.tsv").write_text("amplicon\tverdict\ny\t3 bases differ\n")
    assert genome_check(libraries) == "differs"
