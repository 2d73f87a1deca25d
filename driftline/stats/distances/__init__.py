"""How far two distributions lie apart, for show beside the decision and for whoever asks."""
