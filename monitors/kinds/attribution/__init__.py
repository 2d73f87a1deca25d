"""The kind "attribution": whether the model still decides by the same features."""
