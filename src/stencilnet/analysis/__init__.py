"""Analysis of what was learned: mask statistics, figures, contact sheets, the report."""
