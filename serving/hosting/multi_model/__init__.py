"""Multi-model endpoints: many models under one prefix, each loaded when it is first asked."""
