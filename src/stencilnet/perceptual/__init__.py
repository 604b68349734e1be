"""The network that style losses look through: published VGG weights, or a stand-in that passes a test."""
