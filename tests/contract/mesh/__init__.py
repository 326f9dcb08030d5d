"""The mesh settings: forms they come in, fields, values."""
