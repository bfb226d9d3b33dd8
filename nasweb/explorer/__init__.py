"""What a search did to its samples: events, sets, images, and why."""
