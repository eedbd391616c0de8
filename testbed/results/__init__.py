"""What a run leaves: its folder, its tables, and what can be said of them."""
