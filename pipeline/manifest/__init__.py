"""Manifests: what a document may say, what is wrong with one, and the pairs it stands for."""
