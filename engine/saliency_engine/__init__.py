"""Saliency features for very large tables of video clips."""
