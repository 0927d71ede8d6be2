# Runs the workflow from the repository's root: `snakemake --cores 2`.
include: "workflow/Snakefile"


workflow.default_target = "all"
