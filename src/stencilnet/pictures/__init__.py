"""Files to arrays and back: formats, orientation, colour profiles, transparency, bit depth; label maps."""
