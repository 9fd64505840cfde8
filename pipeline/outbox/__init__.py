"""Results: their names, their order, and the page that shows them."""
