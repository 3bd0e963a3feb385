"""Slides stage: from whole-slide images to patch features."""
