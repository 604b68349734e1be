"""Public data sets: where they are from, fetching them, tiny replicas to try things on."""
