"""Public data sets: their sources, fetching, and tiny replicas for tests."""
