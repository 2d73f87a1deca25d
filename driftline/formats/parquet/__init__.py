"""Parquet, Arrow and Delta: files, and bodies of Parquet."""
