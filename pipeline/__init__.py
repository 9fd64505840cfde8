"""A batch pipeline around `nst`: manifests in, pictures and loss logs out."""
