"""Results: their file names, the order in which they are written, and the HTML page that shows them."""
