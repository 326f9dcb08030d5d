"""Sphinx's configuration; ``build.py`` lays the pages out beside a copy of it."""

project = "pytest-egress"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "pytest-egress"
html_copy_source = False
myst_heading_anchors = 4  # as GitHub makes them, so one link serves both
nitpicky = True
nitpick_ignore_regex = [("myst", r"https?:.*")]
# What Sphinx cannot colour is shown plainly: outputs hold "..." where they differ from run to run.
suppress_warnings = ["misc.highlighting_failure"]
