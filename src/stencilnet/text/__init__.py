"""Prepares text for output: JSON files, error messages, terminals and Markdown."""
