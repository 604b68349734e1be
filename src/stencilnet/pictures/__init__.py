"""Pictures from files to arrays and back: formats, orientation, transparency, bit depth; label maps."""
