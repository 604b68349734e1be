"""The perceptual network of style losses: published VGG weights, or a stand-in that passes a test."""
