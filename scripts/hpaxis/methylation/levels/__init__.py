"""Levels: from what was measured to a methylation level with its error, verdict and limits."""
