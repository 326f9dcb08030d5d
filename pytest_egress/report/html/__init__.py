"""The HTML report: its markup, the pictures of ways, the page."""
