"""What an app's requests go through: recorded as they pass, without slowing them."""
