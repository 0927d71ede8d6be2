"""The write-up folder: Methods and Results in Word, Markdown and LaTeX, and what goes to a journal with them."""
