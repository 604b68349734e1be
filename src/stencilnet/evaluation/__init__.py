"""Measures what was learned: metrics, the order of learning, results on disk, the paper's tables."""
