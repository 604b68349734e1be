"""Training: one loop for every method and task, resumable to the byte."""
