"""One self-contained page that answers the study's question, with its uncertainty, from the stages' tables."""
