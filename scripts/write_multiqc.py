"""Write what MultiQC shows of the libraries, as its custom content."""

import json
from pathlib import Path

from job import logged

with logged(snakemake.log[0]) as log:
    from hpaxis.methylation.figures.multiqc import multiqc_sections
    from hpaxis.tables import read_each, read_table, whole_file

    sections = multiqc_sections(
        read_table(snakemake.input.libraries), read_each(snakemake.input.reads), read_each(snakemake.input.cycles)
    )
    for path in snakemake.output:
        section = sections[Path(path).stem]
        with whole_file(path) as part:
            part.write_text(json.dumps(section, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        log.info("%s: %d entries", Path(path).stem, len(section["data"]))
