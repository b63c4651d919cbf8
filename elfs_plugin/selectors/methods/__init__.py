"""One file for each selector."""
