"""The schema of a config file, read strictly; the configs that ship with the package."""
