"""One record at a time: tap, spool, sidecar, sink, and the window that reads records back."""
