"""Templates of studies: for each design a small commented config, the sheets it needs, and tiny inputs that run.

`catalogue.DESIGNS` names them, `catalogue.write_design` writes one; the inputs are made by the simulator, so that a
template runs as it stands and its owner replaces one file at a time.
"""
