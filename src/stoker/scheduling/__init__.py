"""What runs next: pure functions from a snapshot and `now` to decisions."""
