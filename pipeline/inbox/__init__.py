"""Manifests that come in: their life, and what says that there may be new ones."""
