"""What text goes through on its way out: into a JSON file, into an error message, onto a terminal, into Markdown."""
