"""The shapes in which JSON carries rows: requests, answers, tensors."""
