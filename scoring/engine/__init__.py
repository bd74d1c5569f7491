"""Exact scoring of raster segmentation challenges: pure numbers, no web framework, no queue."""
