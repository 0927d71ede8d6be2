"""Describe the run as a Workflow Run RO-Crate: inputs, code, config, plans and outputs by checksum."""

import shutil
from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    import pandas as pd

    from hpaxis.report.crate import code_digest, git_state, run_crate
    from hpaxis.report.provenance import checksum_table, versions
    from hpaxis.shipped import ROOT
    from hpaxis.tables import read_table, whole_file

    def files_of(paths):
        """The files, and of a folder all that are in it."""
        return [f for path in map(Path, paths) for f in (sorted(path.glob("*.tsv")) if path.is_dir() else [path])]

    results = Path(snakemake.output.metadata).parents[2]
    roles = {k: v for k, v in snakemake.input.items() if k not in ("checksums", "workflow")}
    outputs = checksum_table(
        (role.replace("_", " "), path)
        for role, paths in roles.items()
        for path in files_of([paths] if isinstance(paths, str) else paths)
    )
    outputs["file"] = [Path(path).relative_to(results).as_posix() for path in outputs["file"]]
    plans = [read_table(p) for p in snakemake.input.models if Path(p).name == "plan.tsv"]
    plans = pd.concat(plans) if plans else pd.DataFrame(columns=["model", "status", "hash", "locked_hash"])
    text = run_crate(
        snakemake.params.config,
        read_table(snakemake.input.checksums),
        outputs,
        plans,
        versions(),
        code_digest(ROOT),
        git_state(ROOT),
    )
    with whole_file(snakemake.output.workflow) as part:
        shutil.copyfile(snakemake.input.workflow, part)
    with whole_file(snakemake.output.metadata) as part:
        part.write_text(text, encoding="utf-8")
    log.info("%d outputs, %d characters", len(outputs), len(text))
