"""Manifests: the models of the format, reading and checking a document, and expanding it into pairs."""
