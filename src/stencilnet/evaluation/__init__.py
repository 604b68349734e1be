"""Evaluation: metrics of a split, the order of learning, results on disk, the paper's tables."""
