"""What the report's rules need to know of a study when the workflow is planned; light to import."""


def primary_index(models):
    """Return the methylation index of the primary model (else the first), ``region_mean`` where it has none.

    ``models`` maps names to the config's entries.
    """
    entries = sorted(models.values(), key=lambda entry: not entry["primary"])
    predictor = entries[0]["predictor"]
    return predictor.removesuffix("_beta") if predictor.endswith("_beta") else "region_mean"


def gates(settings):
    """Return the limits of conversion (fractions) and depth (molecules), each as (fail, warn)."""
    return {name: (settings[f"{name}_fail"], settings[f"{name}_warn"]) for name in ("conversion", "depth")}


def input_files(sheet, *columns):
    """Return the files that a sheet names in some columns, sorted, each once."""
    return sorted({str(path) for column in columns for path in sheet[column].dropna()})


def masked_positions(study):
    """Return how many positions the SNP masks of the study's panels hold."""
    from hpaxis.methylation.panel import read_panel

    folders = {str(study.panel(name)) for name in study.library_ids()}
    return sum(len(read_panel(folder).snps) for folder in sorted(folders))
