"""The demo study with known truth: people, reads and plates, from one seed.

`study.simulate` makes a study from a config; `reads` makes a library's read pairs, `plates` a cortisol plate.
The truth is written beside the inputs and nothing in the pipeline reads it.
"""
