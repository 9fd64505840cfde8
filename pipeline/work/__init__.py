"""From an inbox to an outbox: who claims, hands out, publishes and ends manifests."""
