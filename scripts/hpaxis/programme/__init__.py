"""The programme around a trial: several studies pooled, and what the treatment is worth."""
