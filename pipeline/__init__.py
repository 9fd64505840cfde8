"""A batch pipeline around `nst`: manifests in, pictures and loss logs out."""

import os

# As in `nst`, whose import would delay the handling of signals in `pipeline.start`.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
