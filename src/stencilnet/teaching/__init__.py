"""Teaching a bundle a new task from folders: the request, what the folders hold, the config that follows, the work."""
