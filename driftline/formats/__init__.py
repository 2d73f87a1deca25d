"""Every form in which data comes, read one way: files, frames, bodies; one meaning of each cell."""
