"""Where manifests, images and results live."""
