"""What happens while the pipeline works, and who is told."""
