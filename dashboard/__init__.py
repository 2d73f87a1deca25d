"""What people look at: pages that show what happened, why, and which rows did it."""
