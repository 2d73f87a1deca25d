"""The result of a check as documents, page, notebook and charts."""
