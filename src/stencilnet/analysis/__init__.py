"""Looks into what was learned: mask statistics, figures, contact sheets, the report."""
