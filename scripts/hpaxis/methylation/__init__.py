"""From bisulfite reads to per-CpG methylation with its error."""
