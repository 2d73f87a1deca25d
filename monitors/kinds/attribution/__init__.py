"""The kind "attribution": whether the model still uses its features as before."""
