"""The result of a check, and its forms: documents, page, notebook, pictures."""
