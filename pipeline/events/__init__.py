"""What happens while the pipeline works, and the listeners that hear of it."""
