"""The HTTP door: what comes in becomes a manifest in the inbox, and results are served from the outbox."""
